//! The codes of AWS's S3 error table that Larder can send.
//!
//! One macro holds the table, so that the name, the status and the default message of a code stand
//! in one line and the matches over it are exhaustive by construction.

use http::StatusCode;

macro_rules! codes {
    ($($name:ident = $wire:literal, $status:literal, $message:literal;)+) => {
        /// A code of the S3 error table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum S3Code {
            $(#[doc = concat!("`", $wire, "`, HTTP status ", stringify!($status), ".")] $name,)+
        }

        impl S3Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The text of the `Code` element.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// The number of the HTTP status.
            pub const fn status_number(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// The message as AWS words it, where the error has no better one.
            pub const fn default_message(self) -> &'static str {
                match self { $(Self::$name => $message,)+ }
            }
        }
    };
}

codes! {
    AccessDenied = "AccessDenied", 403, "Access Denied";
    AccessForbidden = "AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket.";
    AccessControlListNotSupported = "AccessControlListNotSupported", 400, "The bucket does not allow ACLs";
    AuthorizationHeaderMalformed = "AuthorizationHeaderMalformed", 400, "The authorization header that you provided is not valid.";
    AuthorizationQueryParametersError = "AuthorizationQueryParametersError", 400, "The authorization query parameters that you provided are not valid.";
    BadDigest = "BadDigest", 400, "The Content-MD5 you specified did not match what we received.";
    BadRequest = "BadRequest", 400, "Bad Request";
    BucketAlreadyExists = "BucketAlreadyExists", 409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
    BucketAlreadyOwnedByYou = "BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and you already own it.";
    BucketNotEmpty = "BucketNotEmpty", 409, "The bucket you tried to delete is not empty";
    ConditionalRequestConflict = "ConditionalRequestConflict", 409, "The conditional request cannot succeed due to a conflicting operation against this resource.";
    CredentialsNotSupported = "CredentialsNotSupported", 400, "This request does not support credentials.";
    EntityTooLarge = "EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size";
    EntityTooSmall = "EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size";
    ExpiredToken = "ExpiredToken", 400, "The provided token has expired.";
    IllegalLocationConstraintException = "IllegalLocationConstraintException", 400, "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.";
    IllegalVersioningConfigurationException = "IllegalVersioningConfigurationException", 400, "The versioning configuration specified in the request is not valid.";
    IncompleteBody = "IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header";
    InsufficientStorage = "InsufficientStorage", 507, "There is not enough free space on the disks to store what you sent.";
    InternalError = "InternalError", 500, "We encountered an internal error. Please try again.";
    InvalidAccessKeyId = "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.";
    InvalidArgument = "InvalidArgument", 400, "Invalid Argument";
    InvalidBucketAclWithObjectOwnership = "InvalidBucketAclWithObjectOwnership", 400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
    InvalidBucketName = "InvalidBucketName", 400, "The specified bucket is not valid.";
    InvalidBucketOwner = "InvalidBucketOwnerAWSAccountID", 400, "The value of the expected bucket owner parameter must be an AWS account ID";
    InvalidBucketState = "InvalidBucketState", 409, "The request is not valid for the current state of the bucket.";
    InvalidChunkSize = "InvalidChunkSizeError", 400, "Only the last chunk is allowed to have a size less than 8192 bytes";
    InvalidDigest = "InvalidDigest", 400, "The Content-MD5 you specified was invalid.";
    InvalidEncryptionAlgorithmError = "InvalidEncryptionAlgorithmError", 400, "The encryption request that you specified is not valid. The valid value is AES256.";
    InvalidLocationConstraint = "InvalidLocationConstraint", 400, "The specified location-constraint is not valid";
    InvalidObjectState = "InvalidObjectState", 403, "The operation is not valid for the object's storage class";
    InvalidPart = "InvalidPart", 400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
    InvalidPartNumber = "InvalidPartNumber", 416, "The requested partnumber is not satisfiable";
    InvalidPartOrder = "InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number.";
    InvalidPolicyDocument = "InvalidPolicyDocument", 400, "The content of the form does not meet the conditions specified in the policy document.";
    InvalidRange = "InvalidRange", 416, "The requested range is not satisfiable";
    InvalidRedirectLocation = "InvalidRedirectLocation", 400, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
    InvalidRequest = "InvalidRequest", 400, "Invalid Request";
    InvalidSecurity = "InvalidSecurity", 403, "The provided security credentials are not valid.";
    InvalidStorageClass = "InvalidStorageClass", 400, "The storage class you specified is not valid";
    InvalidTag = "InvalidTag", 400, "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation.";
    InvalidTargetBucketForLogging = "InvalidTargetBucketForLogging", 400, "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants for the log-delivery group.";
    InvalidToken = "InvalidToken", 400, "The provided token is malformed or otherwise invalid.";
    InvalidUri = "InvalidURI", 400, "Couldn't parse the specified URI.";
    KmsDisabled = "KMS.DisabledException", 400, "The request was rejected because the specified KMS key is not enabled.";
    KmsInvalidKeyUsage = "KMS.InvalidKeyUsageException", 400, "The request was rejected because the KMS key can't be used for this.";
    KmsNotFound = "KMS.NotFoundException", 400, "The request was rejected because the specified KMS key could not be found.";
    KeyTooLong = "KeyTooLongError", 400, "Your key is too long";
    MalformedAcl = "MalformedACLError", 400, "The XML you provided was not well-formed or did not validate against our published schema";
    MalformedPolicy = "MalformedPolicy", 400, "Policies must be valid JSON and the first byte must be '{'";
    MalformedPostRequest = "MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data.";
    MalformedTrailer = "MalformedTrailerError", 400, "The request contained trailing data that was not well-formed or did not conform to our published schema.";
    MalformedXml = "MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema";
    MaxMessageLengthExceeded = "MaxMessageLengthExceeded", 400, "Your request was too big.";
    MaxPostPreDataLengthExceeded = "MaxPostPreDataLengthExceeded", 400, "Your POST request fields preceding the upload file were too large.";
    MetadataTooLarge = "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size";
    MethodNotAllowed = "MethodNotAllowed", 405, "The specified method is not allowed against this resource.";
    MissingContentLength = "MissingContentLength", 411, "You must provide the Content-Length HTTP header.";
    MissingRequestBody = "MissingRequestBodyError", 400, "Request Body is empty";
    MissingSecurityHeader = "MissingSecurityHeader", 400, "Your request was missing a required header";
    NoSuchBucket = "NoSuchBucket", 404, "The specified bucket does not exist";
    NoSuchBucketPolicy = "NoSuchBucketPolicy", 404, "The bucket policy does not exist";
    NoSuchConfiguration = "NoSuchConfiguration", 404, "The specified configuration does not exist.";
    NoSuchCorsConfiguration = "NoSuchCORSConfiguration", 404, "The CORS configuration does not exist";
    NoSuchKey = "NoSuchKey", 404, "The specified key does not exist.";
    NoSuchLifecycleConfiguration = "NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist";
    NoSuchObjectLockConfiguration = "NoSuchObjectLockConfiguration", 404, "The specified object does not have a ObjectLock configuration";
    NoSuchPublicAccessBlockConfiguration = "NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found";
    NoSuchTagSet = "NoSuchTagSet", 404, "The TagSet does not exist";
    NoSuchUpload = "NoSuchUpload", 404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    NoSuchVersion = "NoSuchVersion", 404, "The specified version does not exist.";
    NoSuchWebsiteConfiguration = "NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration";
    NotImplemented = "NotImplemented", 501, "A header you provided implies functionality that is not implemented";
    NotModified = "NotModified", 304, "Not Modified";
    ObjectLockConfigurationNotFound = "ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist for this bucket";
    OperationAborted = "OperationAborted", 409, "A conflicting conditional operation is currently in progress against this resource. Please try again.";
    OwnershipControlsNotFound = "OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found";
    PermanentRedirect = "PermanentRedirect", 301, "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
    PreconditionFailed = "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold";
    QuotaExceeded = "QuotaExceeded", 403, "The bucket would have more than its quota allows. Delete something, or ask whoever runs the server for a larger quota.";
    ReplicationConfigurationNotFound = "ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found";
    RequestHeaderSectionTooLarge = "RequestHeaderSectionTooLarge", 400, "Your request header section exceeds the maximum allowed request header section size";
    RequestIsNotMultiPartContent = "RequestIsNotMultiPartContent", 412, "Bucket POST must be of the enclosure-type multipart/form-data.";
    RequestTimeout = "RequestTimeout", 400, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.";
    RequestTimeTooSkewed = "RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large.";
    ServerSideEncryptionConfigurationNotFound = "ServerSideEncryptionConfigurationNotFoundError", 404, "The server side encryption configuration was not found";
    ServiceUnavailable = "ServiceUnavailable", 503, "Service is unable to handle request.";
    SignatureDoesNotMatch = "SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    SlowDown = "SlowDown", 503, "Please reduce your request rate.";
    TooManyBuckets = "TooManyBuckets", 400, "You have attempted to create more buckets than allowed";
    UnresolvableGrantByEmailAddress = "UnresolvableGrantByEmailAddress", 400, "The email address you provided does not match any account on record.";
    UnexpectedContent = "UnexpectedContent", 400, "This request does not support content";
    UnsupportedSignature = "UnsupportedSignature", 400, "The provided request is signed with an unsupported STS Token version or the signature version is not supported.";
    UserKeyMustBeSpecified = "UserKeyMustBeSpecified", 400, "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.";
    XAmzContentSha256Mismatch = "XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed.";
}

impl S3Code {
    /// The HTTP status that AWS answers with this code.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status_number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The code of that name, if Larder can send it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_unique_name_an_error_status_and_a_message() {
        let mut names = HashSet::new();
        for &code in S3Code::ALL {
            let name = code.as_str();
            assert!(names.insert(name), "{name} appears twice");
            // Codes of other services have theirs before them.
            let own = name.strip_prefix("KMS.").unwrap_or(name);
            assert!(own.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
            assert!((300..600).contains(&code.status_number()), "{name}");
            assert_eq!(code.status().as_u16(), code.status_number(), "{name}");
            assert!(!code.default_message().is_empty(), "{name}");
            assert_eq!(S3Code::from_name(name), Some(code));
        }
    }

    #[test]
    fn statuses_are_those_of_the_aws_table() {
        let table = [
            ("AccessDenied", 403),
            ("AuthorizationHeaderMalformed", 400),
            ("AuthorizationQueryParametersError", 400),
            ("BadDigest", 400),
            ("BucketAlreadyExists", 409),
            ("BucketAlreadyOwnedByYou", 409),
            ("BucketNotEmpty", 409),
            ("ConditionalRequestConflict", 409),
            ("EntityTooLarge", 400),
            ("EntityTooSmall", 400),
            ("ExpiredToken", 400),
            ("IllegalLocationConstraintException", 400),
            ("IncompleteBody", 400),
            ("InsufficientStorage", 507),
            ("InternalError", 500),
            ("InvalidAccessKeyId", 403),
            ("InvalidArgument", 400),
            ("InvalidBucketName", 400),
            ("InvalidDigest", 400),
            ("InvalidPart", 400),
            ("InvalidPartOrder", 400),
            ("InvalidRange", 416),
            ("InvalidRequest", 400),
            ("InvalidStorageClass", 400),
            ("InvalidTag", 400),
            ("InvalidURI", 400),
            ("KeyTooLongError", 400),
            ("MalformedXML", 400),
            ("MetadataTooLarge", 400),
            ("MethodNotAllowed", 405),
            ("MissingContentLength", 411),
            ("MissingRequestBodyError", 400),
            ("NoSuchBucket", 404),
            ("NoSuchBucketPolicy", 404),
            ("NoSuchCORSConfiguration", 404),
            ("NoSuchKey", 404),
            ("NoSuchLifecycleConfiguration", 404),
            ("NoSuchTagSet", 404),
            ("NoSuchUpload", 404),
            ("NoSuchVersion", 404),
            ("NotImplemented", 501),
            ("NotModified", 304),
            ("ObjectLockConfigurationNotFoundError", 404),
            ("PreconditionFailed", 412),
            ("RequestTimeout", 400),
            ("RequestTimeTooSkewed", 403),
            ("ServerSideEncryptionConfigurationNotFoundError", 404),
            ("ServiceUnavailable", 503),
            ("SignatureDoesNotMatch", 403),
            ("SlowDown", 503),
            ("UnexpectedContent", 400),
            ("XAmzContentSHA256Mismatch", 400),
        ];
        for (name, status) in table {
            let code = S3Code::from_name(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(code.status_number(), status, "{name}");
        }
    }
}
