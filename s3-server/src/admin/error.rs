//! What an administrator is told when something can't be done: a status, a code for programs, and a sentence for people.

use http::StatusCode;
use larder_storage::meta::MetaError;
use serde::{Deserialize, Serialize};

use crate::{
    error::{S3Code, S3Error},
    http::Response,
};

/// Result with an [`AdminError`].
pub type AdminResult<T> = Result<T, AdminError>;

/// An error as an administrator sees it. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AdminError {
    status: StatusCode,
    code: &'static str,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The JSON of an error: `{"error":{"code":…,"message":…}}`. In a stream of lines it is the last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorDocument {
    /// The error.
    pub error: ErrorOf,
}

/// The error of an [`ErrorDocument`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorOf {
    /// For programs.
    pub code: String,
    /// For people: what to do.
    pub message: String,
}

impl AdminError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            source: None,
        }
    }

    /// `400`: the request makes no sense, whatever the state of the server.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// `404`: what is asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// `405`.
    pub fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// `409`: not in the state that the server is in.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// `503`: the same request may succeed later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", message)
    }

    /// `500`: `source` goes to the log.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let message = "something went wrong inside the server; its log says what";
        Self {
            source: Some(source.into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal", message)
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code, of a bounded set.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As JSON.
    pub fn document(&self) -> ErrorDocument {
        ErrorDocument {
            error: ErrorOf {
                code: self.code.to_owned(),
                message: self.message.clone(),
            },
        }
    }

    /// The answer that this error is.
    pub fn answer(&self) -> Response {
        let mut response = super::json(&self.document()).unwrap_or_default();
        *response.status_mut() = self.status;
        response
    }
}

impl From<MetaError> for AdminError {
    fn from(error: MetaError) -> Self {
        match error {
            MetaError::Unavailable(_) | MetaError::Full | MetaError::Overloaded(_) => {
                Self::unavailable(format!("{error}; try again"))
            }
            MetaError::Conflict { .. }
            | MetaError::OverLimit(_)
            | MetaError::TooLarge(_)
            | MetaError::Corrupt(_) => Self::internal(error),
        }
    }
}

impl From<S3Error> for AdminError {
    fn from(error: S3Error) -> Self {
        let message = match error.code() {
            S3Code::AccessDenied => "this needs the signature of the root credentials".to_owned(),
            _ => error.message().to_owned(),
        };
        Self {
            status: error.status(),
            code: error.code().as_str(),
            message,
            source: Some(Box::new(error)),
        }
    }
}
