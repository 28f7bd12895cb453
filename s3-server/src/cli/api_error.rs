//! What went wrong with a request to S3, IAM or STS, said in one line with what to do next.

use super::{
    connection::{Answer, Connection, ConnectionError},
    element::Element,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// What the server says, and what to do.
    #[error("{message} ({code}){hint}")]
    Refused {
        code: String,
        message: String,
        hint: String,
    },
    #[error("{endpoint} answers {status} and is no server that knows this API; look at --endpoint")]
    Malformed { endpoint: String, status: u16 },
}

/// Result with an [`ApiError`].
pub(super) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// AWS's code of a refusal.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Connection(_) | Self::Malformed { .. } => "",
        }
    }

    /// With something to do next, unless there is something already. `more` is what is said for each code.
    pub(super) fn or_hint(self, more: impl Fn(&str) -> Option<String>) -> Self {
        match self {
            Self::Refused {
                code,
                message,
                hint,
            } if hint.is_empty() => {
                let hint = more(&code).map_or(String::new(), |hint| format!("; {hint}"));
                Self::Refused {
                    code,
                    message,
                    hint,
                }
            }
            other => other,
        }
    }
}

/// The document of an answer; `None` for a success that has none.
///
/// # Errors
/// [`ApiError::Refused`] with what the answer says, where it is no success; [`ApiError::Malformed`].
pub(super) fn document(connection: &Connection, answer: &Answer) -> ApiResult<Option<Element>> {
    let found = Element::parse(&answer.body);
    let malformed = || ApiError::Malformed {
        endpoint: connection.base(),
        status: answer.status.as_u16(),
    };
    if answer.status.is_success() {
        return match found {
            None if !answer.body.is_empty() => Err(malformed()),
            found => Ok(found),
        };
    }
    let found = found.ok_or_else(malformed)?;
    let error = found.at("Error").unwrap_or(&found);
    let (code, message) = (error.get("Code"), error.get("Message"));
    if code.is_empty() {
        return Err(malformed());
    }
    let hint = match code.as_str() {
        "Throttling" | "SlowDown" | "ServiceUnavailable" => "; try again in a while".to_owned(),
        code => connection.hint(code, &message),
    };
    let message = message.trim_end_matches('.').to_owned();
    Err(ApiError::Refused {
        code,
        message,
        hint,
    })
}
