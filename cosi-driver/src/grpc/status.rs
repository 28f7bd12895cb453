//! Errors as gRPC's codes. The message is the error's, which is written for users; `details` stay empty, as COSI asks.

use tonic::Status;

use crate::provision::ProvisionError;

/// What a call of v1alpha2 answers, and every call of v1alpha1 but Grant.
pub fn of(error: ProvisionError) -> Status {
    match error {
        ProvisionError::Invalid(text) => Status::invalid_argument(text),
        ProvisionError::Conflict(text) => Status::already_exists(text),
        ProvisionError::NotFound(text) => Status::not_found(text),
        ProvisionError::Precondition(text) => Status::failed_precondition(text),
        ProvisionError::Denied(text) => Status::permission_denied(text),
        ProvisionError::Unavailable(text) => Status::unavailable(text),
    }
}

/// What Grant of v1alpha1 answers: the sidecar of v0.2.2 dies of `ALREADY_EXISTS`.
pub fn of_v1alpha1_grant(error: ProvisionError) -> Status {
    match error {
        ProvisionError::Conflict(text) => Status::invalid_argument(text),
        other => of(other),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn all() -> [(ProvisionError, Code); 6] {
        let text = || "why".to_owned();
        [
            (ProvisionError::Invalid(text()), Code::InvalidArgument),
            (ProvisionError::Conflict(text()), Code::AlreadyExists),
            (ProvisionError::NotFound(text()), Code::NotFound),
            (
                ProvisionError::Precondition(text()),
                Code::FailedPrecondition,
            ),
            (ProvisionError::Denied(text()), Code::PermissionDenied),
            (ProvisionError::Unavailable(text()), Code::Unavailable),
        ]
    }

    #[test]
    fn every_error_has_its_code_and_keeps_its_message() {
        for (error, code) in all() {
            let status = of(error);
            assert_eq!((status.code(), status.message()), (code, "why"));
            assert!(status.details().is_empty());
        }
    }

    #[test]
    fn grant_of_v1alpha1_never_says_that_something_exists() {
        for (error, code) in all() {
            let expected = match code {
                Code::AlreadyExists => Code::InvalidArgument,
                code => code,
            };
            assert_eq!(of_v1alpha1_grant(error).code(), expected);
        }
    }
}
