//! The two APIs, told apart by the version that every request names.

use crate::sigv4::Service;

/// An API that speaks AWS's Query protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Iam,
    Sts,
}

impl Api {
    /// That of a version, if there is one.
    pub(super) fn of_version(version: Option<&str>) -> Option<Self> {
        [Self::Iam, Self::Sts]
            .into_iter()
            .find(|api| version == Some(api.version()))
    }

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }

    /// What requests to it are signed for.
    pub(super) fn service(self) -> Service {
        match self {
            Self::Iam => Service::Iam,
            Self::Sts => Service::Sts,
        }
    }
}
