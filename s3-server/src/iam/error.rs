//! What IAM and STS answer when they refuse.

use std::borrow::Cow;

use http::StatusCode;
use larder_storage::objects::StoreError;

use crate::{
    error::{S3Code, S3Error, Source},
    http::IncomingError,
    keyring::KeyringError,
    sigv4::SigError,
};

/// Result with an [`IamError`].
pub(crate) type IamResult<T> = Result<T, IamError>;

macro_rules! codes {
    ($($variant:ident = $status:literal;)+) => {
        /// A code of IAM's and STS's tables of errors, called as AWS calls it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum IamCode { $($variant,)+ }

        impl IamCode {
            /// As clients read it.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// The status that goes with it.
            pub(crate) fn status(self) -> StatusCode {
                let status = match self { $(Self::$variant => $status,)+ };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    };
}

codes! {
    AccessDenied = 403;
    ConcurrentModification = 409;
    DeleteConflict = 409;
    ExpiredToken = 403;
    ExpiredTokenException = 400;
    IDPCommunicationError = 400;
    EntityAlreadyExists = 409;
    IncompleteSignature = 400;
    InvalidAction = 400;
    InvalidClientTokenId = 403;
    InvalidIdentityToken = 400;
    InvalidInput = 400;
    LimitExceeded = 409;
    MalformedPolicyDocument = 400;
    MalformedQueryString = 400;
    MissingAction = 400;
    MissingAuthenticationToken = 403;
    NoSuchEntity = 404;
    PackedPolicyTooLarge = 400;
    RequestEntityTooLarge = 413;
    RequestTimeout = 400;
    ServiceFailure = 500;
    ServiceUnavailable = 503;
    SignatureDoesNotMatch = 403;
    Throttling = 503;
    ValidationError = 400;
}

/// A refusal. A message never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub(crate) struct IamError {
    code: IamCode,
    message: Cow<'static, str>,
    source: Option<Source>,
}

impl IamError {
    pub(crate) fn new(code: IamCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            source: None,
        }
    }

    /// A fault of the server, whose cause only the log learns.
    pub(crate) fn internal(source: impl Into<Source>) -> Self {
        let message =
            "The request processing has failed because of an unknown error, exception or failure.";
        Self {
            source: Some(source.into()),
            ..Self::new(IamCode::ServiceFailure, message)
        }
    }

    pub(crate) fn code(&self) -> IamCode {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The cause, for the log.
    pub(crate) fn cause(&self) -> Option<String> {
        self.source.as_ref().map(ToString::to_string)
    }
}

/// That a token of temporary credentials is none.
pub(crate) fn invalid_token() -> IamError {
    let message = "The security token included in the request is invalid.";
    IamError::new(IamCode::InvalidClientTokenId, message)
}

/// That temporary credentials have ended.
pub(crate) fn expired() -> IamError {
    let message = "The security token included in the request is expired";
    IamError::new(IamCode::ExpiredToken, message)
}

/// `code` with a message.
pub(super) fn refused<T>(code: IamCode, message: impl Into<Cow<'static, str>>) -> IamResult<T> {
    Err(IamError::new(code, message))
}

impl From<StoreError> for IamError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::new(
                IamCode::ConcurrentModification,
                "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again.",
            ),
            error => S3Error::from(error).into(),
        }
    }
}

impl From<S3Error> for IamError {
    fn from(error: S3Error) -> Self {
        let (code, message) = match error.code() {
            S3Code::SlowDown => (IamCode::Throttling, "Rate exceeded"),
            S3Code::ServiceUnavailable | S3Code::InsufficientStorage => (
                IamCode::ServiceUnavailable,
                "The request has failed due to a temporary failure of the server.",
            ),
            S3Code::RequestHeaderSectionTooLarge => (
                IamCode::RequestEntityTooLarge,
                "The headers of the request are too large.",
            ),
            _ => return Self::internal(error),
        };
        Self {
            source: Some(Box::new(error)),
            ..Self::new(code, message)
        }
    }
}

impl From<KeyringError> for IamError {
    fn from(error: KeyringError) -> Self {
        Self::internal(error)
    }
}

impl From<IncomingError> for IamError {
    fn from(error: IncomingError) -> Self {
        let message = "The body of the request did not come.";
        Self {
            source: Some(Box::new(error)),
            ..Self::new(IamCode::RequestTimeout, message)
        }
    }
}

/// The signature's mismatch is not shown in detail, as AWS shows it: what was signed may have a policy or a token in it.
impl From<SigError> for IamError {
    fn from(error: SigError) -> Self {
        let (code, message): (_, Cow<'static, str>) = match &error {
            SigError::Anonymous => (
                IamCode::MissingAuthenticationToken,
                "Request is missing Authentication Token".into(),
            ),
            SigError::UnknownAccessKey { .. } => (
                IamCode::InvalidClientTokenId,
                "The security token included in the request is invalid.".into(),
            ),
            SigError::Mismatch(_) => (
                IamCode::SignatureDoesNotMatch,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".into(),
            ),
            SigError::WrongService { expected, .. } => (
                IamCode::SignatureDoesNotMatch,
                format!("Credential should be scoped to correct service: '{expected}'.").into(),
            ),
            SigError::WrongRegion { expected, .. } => (
                IamCode::SignatureDoesNotMatch,
                format!("Credential should be scoped to a valid region, not '{}': this is '{expected}'.", region_of(&error)).into(),
            ),
            SigError::TimeTooSkewed { .. } | SigError::Expired { .. } => (
                IamCode::SignatureDoesNotMatch,
                "Signature expired: the time of the request is too far from the server's.".into(),
            ),
            SigError::NotYetValid { .. } => (
                IamCode::SignatureDoesNotMatch,
                "Signature not yet current: the time of the request is in the future.".into(),
            ),
            _ => (IamCode::IncompleteSignature, error.to_string().into()),
        };
        Self {
            source: Some(Box::new(error)),
            ..Self::new(code, message)
        }
    }
}

fn region_of(error: &SigError) -> &str {
    match error {
        SigError::WrongRegion { got, .. } => got,
        _ => "",
    }
}
