//! Why a request is not authentic, and what the client is told.

use std::borrow::Cow;

use crate::error::{S3Code, S3Error};

use super::timestamp::rfc3339;

/// Where the signature stands: decides which of AWS's codes an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The `Authorization` header.
    Header,
    /// The presigned query.
    Query,
}

impl Carrier {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
        }
    }
}

/// Why a request was refused before anything was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigError {
    /// Neither header nor query carries a signature.
    #[error("request carries no signature")]
    Anonymous,
    /// A header and a query signature at once.
    #[error("request carries more than one signature")]
    MultipleMechanisms,
    /// `SigV2` in the header, `SigV4A`, or signed chunks under `SigV2`.
    #[error("signature version is not supported")]
    UnsupportedAlgorithm,
    /// An `Authorization` header of another scheme, such as `Basic`.
    #[error("authorization type is not supported: {value}")]
    UnsupportedAuthorizationType {
        /// The scheme.
        value: String,
    },
    /// The header lacks Credential, `SignedHeaders` or Signature.
    #[error("authorization header lacks a component")]
    MissingComponents,
    /// The credential is not `AKID/date/region/s3/aws4_request`.
    #[error("credential is malformed")]
    CredentialMalformed {
        /// Header or query.
        carrier: Carrier,
    },
    /// The date in the credential is not `yyyyMMdd`.
    #[error("date in the credential is malformed: {got}")]
    CredentialDateMalformed {
        /// Header or query.
        carrier: Carrier,
        /// What stood there.
        got: String,
    },
    /// The date in the credential is another one than the request's.
    #[error("date in the credential differs from the request's: {credential} and {request}")]
    CredentialDateMismatch {
        /// Header or query.
        carrier: Carrier,
        /// In the credential.
        credential: String,
        /// Of the request.
        request: String,
    },
    /// The region in the credential is not the server's.
    #[error("region in the credential is wrong, expected {expected}, got {got}")]
    WrongRegion {
        /// Header or query.
        carrier: Carrier,
        /// The server's.
        expected: String,
        /// The client's.
        got: String,
    },
    /// The service in the credential is not the one that is spoken to.
    #[error("service in the credential is wrong: {got}")]
    WrongService {
        /// Header or query.
        carrier: Carrier,
        /// The one that is spoken to.
        expected: &'static str,
        /// The client's.
        got: String,
    },
    /// The credential does not end in `aws4_request`.
    #[error("terminator of the credential is wrong: {got}")]
    WrongTerminal {
        /// Header or query.
        carrier: Carrier,
        /// The client's.
        got: String,
    },
    /// The query lacks one of the six parameters.
    #[error("presigned query is incomplete")]
    QueryIncomplete,
    /// `X-Amz-Algorithm` is unknown.
    #[error("presigned query has an unknown algorithm")]
    QueryAlgorithm,
    /// `X-Amz-Date` is malformed.
    #[error("presigned query has a malformed date")]
    QueryDate,
    /// `X-Amz-Expires` is no number.
    #[error("presigned lifetime is not a number")]
    ExpiresNotANumber,
    /// `X-Amz-Expires` is below zero.
    #[error("presigned lifetime is negative")]
    ExpiresNegative,
    /// `X-Amz-Expires` is zero.
    #[error("presigned lifetime is zero")]
    ExpiresZero,
    /// `X-Amz-Expires` is above a week.
    #[error("presigned lifetime is longer than a week")]
    ExpiresTooLong,
    /// A query of version 2 lacks one of its three parameters.
    #[error("presigned query of version 2 is incomplete")]
    QueryIncompleteV2,
    /// `Expires` of version 2 is no number of seconds.
    #[error("presigned time of expiry is malformed: {got}")]
    ExpiresNotATime {
        /// What stood there.
        got: String,
    },
    /// The presigned URL is too old.
    #[error("presigned request has expired")]
    Expired {
        /// Its lifetime in seconds; version 2 does not say it.
        expires_seconds: Option<i64>,
        /// When it ended, seconds since 1970.
        expired_at: i64,
        /// The server's time, seconds since 1970.
        server_time: i64,
    },
    /// The presigned URL starts in the future.
    #[error("presigned request is not yet valid")]
    NotYetValid {
        /// The server's time, seconds since 1970.
        server_time: i64,
    },
    /// No usable `x-amz-date` or `Date` header.
    #[error("request has no valid date")]
    MissingDate,
    /// The request's time is more than 15 minutes away from the server's.
    #[error("request time is too far away")]
    TimeTooSkewed {
        /// The request's time as sent.
        request_time: String,
        /// The server's time, seconds since 1970.
        server_time: i64,
    },
    /// `x-amz-content-sha256` is missing.
    #[error("x-amz-content-sha256 is missing")]
    MissingContentSha256,
    /// `x-amz-content-sha256` is neither a hash nor a known mode.
    #[error("x-amz-content-sha256 is invalid: {value}")]
    InvalidContentSha256 {
        /// What stood there.
        value: String,
    },
    /// `host` or an `x-amz-` header is not covered by the signature.
    #[error("headers are not signed: {names}")]
    HeadersNotSigned {
        /// Their names, separated by commas.
        names: String,
    },
    /// No such access key.
    #[error("access key does not exist")]
    UnknownAccessKey {
        /// The access key.
        access_key: String,
    },
    /// The signature is not the one the server calculated.
    #[error("signature does not match")]
    Mismatch(Box<Mismatch>),
}

/// What the client needs to find its mistake. Holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The access key as sent.
    pub access_key: String,
    /// The signature as sent.
    pub signature_provided: String,
    /// The string to sign as the server built it.
    pub string_to_sign: String,
    /// The canonical request as the server built it; version 2 has none.
    pub canonical_request: Option<String>,
}

const UNSUPPORTED: &str =
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
const QUERY_INCOMPLETE: &str = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.";
const QUERY_INCOMPLETE_V2: &str =
    "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters";
const TWO_MECHANISMS: &str = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified";
const CONTENT_SHA256: &str = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.";
const TOO_LONG: &str = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds";

impl From<SigError> for S3Error {
    fn from(error: SigError) -> Self {
        let answer = answer(&error);
        answer.source_of(error)
    }
}

fn answer(error: &SigError) -> S3Error {
    match error {
        SigError::Anonymous => S3Error::new(S3Code::AccessDenied),
        SigError::MultipleMechanisms => invalid_argument(TWO_MECHANISMS, "Authorization", None),
        SigError::UnsupportedAlgorithm => {
            S3Error::with_message(S3Code::InvalidRequest, UNSUPPORTED)
        }
        SigError::UnsupportedAuthorizationType { value } => invalid_argument(
            "Unsupported Authorization Type",
            "Authorization",
            Some(value),
        ),
        SigError::QueryIncompleteV2 => denied(QUERY_INCOMPLETE_V2),
        SigError::ExpiresNotATime { got } => denied(format!(
            "Invalid date (should be seconds since epoch): {got}"
        )),
        SigError::MissingDate => {
            denied("AWS authentication requires a valid Date or x-amz-date header")
        }
        SigError::MissingContentSha256 => S3Error::with_message(
            S3Code::InvalidRequest,
            "Missing required header for this request: x-amz-content-sha256",
        ),
        SigError::InvalidContentSha256 { value } => {
            invalid_argument(CONTENT_SHA256, "x-amz-content-sha256", Some(value))
        }
        SigError::HeadersNotSigned { names } => {
            denied("There were headers present in the request which were not signed")
                .element("HeadersNotSigned", names)
        }
        SigError::UnknownAccessKey { access_key } => {
            S3Error::new(S3Code::InvalidAccessKeyId).element("AWSAccessKeyId", access_key)
        }
        SigError::Mismatch(mismatch) => mismatch_answer(mismatch),
        SigError::TimeTooSkewed { .. }
        | SigError::Expired { .. }
        | SigError::NotYetValid { .. } => time_answer(error),
        _ => malformed_answer(error),
    }
}

fn denied(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3Code::AccessDenied, message)
}

fn invalid_argument(message: &'static str, name: &str, value: Option<&str>) -> S3Error {
    let error = S3Error::with_message(S3Code::InvalidArgument, message);
    error
        .element("ArgumentName", name)
        .element("ArgumentValue", value.unwrap_or("null"))
}

fn mismatch_answer(mismatch: &Mismatch) -> S3Error {
    let answer = S3Error::new(S3Code::SignatureDoesNotMatch)
        .element("AWSAccessKeyId", &mismatch.access_key)
        .element("StringToSign", &mismatch.string_to_sign)
        .element("SignatureProvided", &mismatch.signature_provided);
    match &mismatch.canonical_request {
        Some(request) => answer.element("CanonicalRequest", request),
        None => answer,
    }
}

fn time_answer(error: &SigError) -> S3Error {
    match error {
        SigError::TimeTooSkewed {
            request_time,
            server_time,
        } => S3Error::new(S3Code::RequestTimeTooSkewed)
            .element("RequestTime", request_time)
            .element("ServerTime", rfc3339(*server_time))
            .element("MaxAllowedSkewMilliseconds", "900000"),
        SigError::Expired {
            expires_seconds,
            expired_at,
            server_time,
        } => {
            let answer = denied("Request has expired");
            let answer = match expires_seconds {
                Some(seconds) => answer.element("X-Amz-Expires", seconds.to_string()),
                None => answer,
            };
            answer
                .element("Expires", rfc3339(*expired_at))
                .element("ServerTime", rfc3339(*server_time))
        }
        SigError::NotYetValid { server_time } => {
            denied("Request is not yet valid").element("ServerTime", rfc3339(*server_time))
        }
        _ => S3Error::new(S3Code::AccessDenied),
    }
}

fn malformed_answer(error: &SigError) -> S3Error {
    let (carrier, detail) = malformed_detail(error);
    let answer = match carrier {
        Carrier::Header => S3Error::with_message(
            S3Code::AuthorizationHeaderMalformed,
            format!("The authorization header is malformed; {detail}"),
        ),
        Carrier::Query => S3Error::with_message(
            S3Code::AuthorizationQueryParametersError,
            query_message(error, &detail),
        ),
    };
    match error {
        SigError::WrongRegion { expected, .. } => answer.element("Region", expected),
        _ => answer,
    }
}

fn query_message(error: &SigError, detail: &str) -> String {
    match error {
        SigError::CredentialMalformed { .. }
        | SigError::CredentialDateMalformed { .. }
        | SigError::CredentialDateMismatch { .. }
        | SigError::WrongRegion { .. }
        | SigError::WrongService { .. }
        | SigError::WrongTerminal { .. } => {
            format!("Error parsing the X-Amz-Credential parameter; {detail}")
        }
        _ => detail.to_owned(),
    }
}

fn malformed_detail(error: &SigError) -> (Carrier, String) {
    match error {
        SigError::CredentialMalformed { carrier } => (*carrier, "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".".into()),
        SigError::CredentialDateMalformed { carrier, got } => (*carrier, format!("incorrect date format \"{got}\". This date in the credential must be in the format \"yyyyMMdd\".")),
        SigError::CredentialDateMismatch { carrier, credential, request } => (*carrier, format!("Invalid credential date \"{credential}\". This date is not the same as X-Amz-Date: \"{request}\".")),
        SigError::WrongRegion { carrier, expected, got } => (*carrier, format!("the region '{got}' is wrong; expecting '{expected}'")),
        SigError::WrongService { carrier, expected, got } => (*carrier, format!("incorrect service \"{got}\". This endpoint belongs to \"{expected}\".")),
        SigError::WrongTerminal { carrier, got } => (*carrier, format!("incorrect terminal \"{got}\". This endpoint uses \"aws4_request\".")),
        SigError::QueryIncomplete => (Carrier::Query, QUERY_INCOMPLETE.into()),
        SigError::QueryAlgorithm => (Carrier::Query, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"".into()),
        SigError::QueryDate => (Carrier::Query, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".into()),
        SigError::ExpiresNotANumber => (Carrier::Query, "X-Amz-Expires should be a number".into()),
        SigError::ExpiresNegative => (Carrier::Query, "X-Amz-Expires must be non-negative".into()),
        SigError::ExpiresZero => (Carrier::Query, "X-Amz-Expires must be at least 1 second".into()),
        SigError::ExpiresTooLong => (Carrier::Query, TOO_LONG.into()),
        _ => (Carrier::Header, "the authorization header requires three components: Credential, SignedHeaders, and Signature.".into()),
    }
}
