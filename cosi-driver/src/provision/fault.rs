//! What a refusal of the backend means to who asked for a bucket or an account.

use super::ProvisionError;
use crate::backend::BackendError;

/// Where nothing more is to be said about it.
#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
pub(super) fn failed(error: BackendError) -> ProvisionError {
    let message = error.to_string();
    match error {
        BackendError::NoSuchBucket(_) => ProvisionError::NotFound(message),
        BackendError::BucketAlreadyExists(_) => ProvisionError::Conflict(message),
        // What was there a moment ago is gone, or the other way round: somebody else works on the same thing.
        BackendError::NoSuchEntity(_) | BackendError::EntityAlreadyExists(_) => {
            ProvisionError::Unavailable(format!(
                "{message}; somebody else changes it at the same time"
            ))
        }
        BackendError::BucketNotEmpty(_) | BackendError::DeleteConflict(_) => {
            ProvisionError::Precondition(message)
        }
        BackendError::LimitExceeded(_) | BackendError::Refused { .. } => {
            ProvisionError::Invalid(message)
        }
        BackendError::Denied { .. } => ProvisionError::Denied(message),
        BackendError::Unavailable(_) => ProvisionError::Unavailable(message),
    }
}
