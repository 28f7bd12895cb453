//! Why an object is not done yet, and what its owner is told.

use crate::provision::ProvisionError;

/// What the owner of an object is told: cause and cure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Complaint {
    /// In one word, as events have it.
    pub(crate) reason: &'static str,
    /// In words.
    pub(crate) note: String,
    /// Whether something is wrong, or only not there yet.
    pub(crate) wrong: bool,
}

/// Why an object is not done yet. It is tried again in every case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The API server's answer.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// The store's answer, to whoever is told of it under this reason.
    #[error("{0}: {1}")]
    Store(&'static str, ProvisionError),
    /// Something that its owner has to see to, or has to come first.
    #[error("{}", .0.note)]
    Told(Complaint),
}

impl Failure {
    /// Something is wrong that only its owner can mend.
    pub(crate) fn wrong(reason: &'static str, note: impl Into<String>) -> Self {
        Self::Told(Complaint {
            reason,
            note: note.into(),
            wrong: true,
        })
    }

    /// Something else has to come first.
    pub(crate) fn waits(reason: &'static str, note: impl Into<String>) -> Self {
        Self::Told(Complaint {
            reason,
            note: note.into(),
            wrong: false,
        })
    }

    /// What the owner is told; nothing of quarrels with the API server, which nobody but the cluster's keepers can mend.
    pub(crate) fn complaint(&self) -> Option<Complaint> {
        match self {
            Self::Kube(_) => None,
            Self::Told(complaint) => Some(complaint.clone()),
            Self::Store(reason, error) => Some(Complaint {
                reason,
                note: format!("{error}{}", cure(error)),
                wrong: true,
            }),
        }
    }

    /// Whether the object was changed by somebody else meanwhile: it is looked at again at once, and nobody need know.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.is_conflict())
    }

    /// One of a few words, for metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kube(_) if self.is_conflict() => "conflict",
            Self::Kube(kube::Error::Api(status)) if status.is_forbidden() => "forbidden",
            Self::Kube(_) => "api_server",
            Self::Store(_, ProvisionError::Unavailable(_)) => "store_unavailable",
            Self::Store(_, ProvisionError::Denied(_)) => "store_denied",
            Self::Store(..) => "refused",
            Self::Told(complaint) if complaint.wrong => "refused",
            Self::Told(_) => "waiting",
        }
    }
}

fn cure(error: &ProvisionError) -> &'static str {
    match error {
        ProvisionError::Invalid(_) => "; mend the class, and it is tried again",
        ProvisionError::Conflict(_) | ProvisionError::NotFound(_) => "",
        ProvisionError::Precondition(_) => "; it is tried again until that has changed",
        ProvisionError::Denied(_) => {
            "; the driver's own credentials don't suffice: an administrator has to look at them"
        }
        ProvisionError::Unavailable(_) => "; it is tried again by itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_told_cause_and_cure() {
        let failure = Failure::Store(
            "FailedCreateBucket",
            ProvisionError::Invalid("no parameter quotabyte; did you mean quotaBytes?".to_owned()),
        );
        let complaint = failure.complaint().unwrap();
        assert_eq!(complaint.reason, "FailedCreateBucket");
        assert!(complaint.note.contains("quotaBytes") && complaint.note.contains("mend the class"));
    }

    #[test]
    fn conflicts_are_nobodys_business() {
        let status = kube::core::Status::failure("changed", "Conflict").with_code(409);
        let failure = Failure::Kube(kube::Error::Api(status.boxed()));
        assert!(failure.is_conflict());
        assert_eq!(failure.complaint(), None);
    }
}
