//! Access control lists.

use std::sync::Arc;

use larder_storage::objects::{BucketName, DocumentKind, Store, StoreError};
use serde::{Deserialize, Serialize};

const GROUPS: &str = "http://acs.amazonaws.com/groups/";

/// Grants of a list at most, as AWS has it.
pub const MAX_GRANTS: usize = 100;
/// The canonical id of whoever has no credentials, as AWS has it: objects that they write are theirs.
pub const ANONYMOUS_ID: &str = "65a011a29cdf8ec533ec3d1ccaae921c";
/// That of EC2, which fetches the images of machines; nobody here can be it.
const EC2_ID: &str = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c";

/// Whether an id is one of AWS's own, that no account has.
pub fn is_well_known(canonical_id: &str) -> bool {
    [ANONYMOUS_ID, EC2_ID].contains(&canonical_id)
}

/// What is granted to whom beside what the owner may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Acl {
    /// In the order in which they were given.
    pub grants: Vec<Grant>,
}

/// A permission for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Grant {
    /// Who.
    pub grantee: Grantee,
    /// What.
    pub permission: Permission,
}

/// Who is granted something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Grantee {
    /// An account, by its canonical id.
    Canonical(String),
    /// Everybody.
    AllUsers,
    /// Everybody with credentials.
    AuthenticatedUsers,
    /// Who writes logs.
    LogDelivery,
}

/// What can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Permission {
    /// All of the others.
    FullControl,
    /// List a bucket, read an object.
    Read,
    /// Write into a bucket.
    Write,
    /// Read the list.
    ReadAcp,
    /// Replace the list.
    WriteAcp,
}

/// Lists that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canned {
    /// The owner alone.
    Private,
    /// Everybody reads.
    PublicRead,
    /// Everybody reads and writes.
    PublicReadWrite,
    /// Everybody with credentials reads.
    AuthenticatedRead,
    /// EC2 reads.
    AwsExecRead,
    /// The bucket's owner reads.
    BucketOwnerRead,
    /// The bucket's owner may do all.
    BucketOwnerFullControl,
    /// Logs are written.
    LogDeliveryWrite,
}

impl Grantee {
    const GROUPS: [(Self, &'static str); 3] = [
        (Self::AllUsers, "global/AllUsers"),
        (Self::AuthenticatedUsers, "global/AuthenticatedUsers"),
        (Self::LogDelivery, "s3/LogDelivery"),
    ];

    /// The group of this URI.
    pub fn group(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix(GROUPS)?;
        let groups = Self::GROUPS.into_iter();
        groups
            .filter(|(_, n)| *n == name)
            .map(|(group, _)| group)
            .next()
    }

    /// The URI of a group.
    pub fn uri(&self) -> Option<String> {
        let (_, name) = Self::GROUPS.iter().find(|(group, _)| group == self)?;
        Some(format!("{GROUPS}{name}"))
    }

    fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::FullControl,
        Self::Read,
        Self::Write,
        Self::ReadAcp,
        Self::WriteAcp,
    ];

    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FullControl => "FULL_CONTROL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
        }
    }

    /// From AWS's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == text)
    }

    /// The header that grants it.
    pub fn header(self) -> &'static str {
        match self {
            Self::FullControl => "x-amz-grant-full-control",
            Self::Read => "x-amz-grant-read",
            Self::Write => "x-amz-grant-write",
            Self::ReadAcp => "x-amz-grant-read-acp",
            Self::WriteAcp => "x-amz-grant-write-acp",
        }
    }
}

impl Canned {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Private, "private"),
        (Self::PublicRead, "public-read"),
        (Self::PublicReadWrite, "public-read-write"),
        (Self::AuthenticatedRead, "authenticated-read"),
        (Self::AwsExecRead, "aws-exec-read"),
        (Self::BucketOwnerRead, "bucket-owner-read"),
        (Self::BucketOwnerFullControl, "bucket-owner-full-control"),
        (Self::LogDeliveryWrite, "log-delivery-write"),
    ];

    /// The list of this name.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, name)| *name == text)
            .map(|(canned, _)| canned)
    }
}

impl Acl {
    /// The list that gives everything to its owner and nothing to anybody else.
    pub fn private(owner: &str) -> Self {
        Self::of(owner, &[])
    }

    /// A list with a name. `owner` and `bucket_owner` are canonical ids.
    pub fn canned(canned: Canned, owner: &str, bucket_owner: &str) -> Self {
        use Permission::{FullControl, Read, ReadAcp, Write};
        let owner_of_bucket = || Grantee::Canonical(bucket_owner.to_owned());
        let others = match canned {
            Canned::PublicRead => vec![(Grantee::AllUsers, Read)],
            Canned::PublicReadWrite => vec![(Grantee::AllUsers, Read), (Grantee::AllUsers, Write)],
            Canned::AuthenticatedRead => vec![(Grantee::AuthenticatedUsers, Read)],
            Canned::AwsExecRead => vec![(Grantee::Canonical(EC2_ID.to_owned()), Read)],
            Canned::BucketOwnerRead if owner != bucket_owner => vec![(owner_of_bucket(), Read)],
            Canned::BucketOwnerFullControl if owner != bucket_owner => {
                vec![(owner_of_bucket(), FullControl)]
            }
            Canned::LogDeliveryWrite => {
                vec![
                    (Grantee::LogDelivery, Write),
                    (Grantee::LogDelivery, ReadAcp),
                ]
            }
            Canned::Private | Canned::BucketOwnerRead | Canned::BucketOwnerFullControl => vec![],
        };
        Self::of(owner, &others)
    }

    fn of(owner: &str, others: &[(Grantee, Permission)]) -> Self {
        let owner = (
            Grantee::Canonical(owner.to_owned()),
            Permission::FullControl,
        );
        let grants = std::iter::once(&owner).chain(others);
        let grant = |(grantee, permission): &(Grantee, Permission)| Grant {
            grantee: grantee.clone(),
            permission: *permission,
        };
        Self {
            grants: grants.map(grant).collect(),
        }
    }

    /// Whether somebody whom `is_it` picks is granted `permission`.
    pub fn grants(&self, permission: Permission, is_it: impl Fn(&Grantee) -> bool) -> bool {
        self.grants.iter().any(|grant| {
            let suffices = [permission, Permission::FullControl].contains(&grant.permission);
            suffices && is_it(&grant.grantee)
        })
    }

    /// Whether anything is granted to everybody.
    pub fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    /// Whether anything is granted to anybody but this owner.
    pub fn is_shared(&self, owner: &str) -> bool {
        let is_owner = |grantee: &Grantee| *grantee == Grantee::Canonical(owner.to_owned());
        self.grants.iter().any(|grant| !is_owner(&grant.grantee))
    }

    /// As it is kept.
    pub fn to_document(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From how it is kept; what can't be read grants nothing.
    pub fn from_document(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The list that a bucket was given; `None` where it never was.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_bucket(
        bucket: &BucketName,
        store: &Store,
    ) -> Result<Option<Arc<Self>>, StoreError> {
        let found = store.document(bucket, DocumentKind::Acl).await?;
        Ok(found.map(|document| document.parsed(Self::from_document)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_control_is_everything_and_nothing_else_is() {
        let acl = Acl::canned(Canned::PublicRead, "ann", "ann");
        let by = |permission, grantee: Grantee| acl.grants(permission, |g| *g == grantee);
        let ann = || Grantee::Canonical("ann".to_owned());
        for permission in Permission::ALL {
            assert!(by(permission, ann()));
            assert_eq!(
                by(permission, Grantee::AllUsers),
                permission == Permission::Read
            );
            assert!(!by(permission, Grantee::AuthenticatedUsers));
        }
    }

    #[test]
    fn lists_say_whether_they_are_public_or_shared() {
        let of = |canned, owner| Acl::canned(canned, owner, "ann");
        for (canned, is_public, is_shared) in [
            (Canned::Private, false, false),
            (Canned::PublicRead, true, true),
            (Canned::PublicReadWrite, true, true),
            (Canned::AuthenticatedRead, true, true),
            (Canned::AwsExecRead, false, true),
            (Canned::LogDeliveryWrite, false, true),
            (Canned::BucketOwnerFullControl, false, false),
        ] {
            let acl = of(canned, "ann");
            assert_eq!(acl.is_public(), is_public, "{canned:?}");
            assert_eq!(acl.is_shared("ann"), is_shared, "{canned:?}");
        }
        assert!(of(Canned::BucketOwnerFullControl, "bob").is_shared("bob"));
    }

    #[test]
    fn what_is_kept_is_read_and_words_are_those_of_aws() {
        let acl = Acl::canned(Canned::LogDeliveryWrite, "ann", "ann");
        let again: Acl = serde_json::from_slice(&acl.to_document()).expect("a list");
        assert_eq!(again, acl);
        for (group, name) in Grantee::GROUPS {
            let uri = group.uri().expect("a uri");
            assert!(uri.ends_with(name));
            assert_eq!(Grantee::group(&uri), Some(group));
        }
        assert_eq!(Grantee::group("http://elsewhere/global/AllUsers"), None);
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
        for (canned, name) in Canned::ALL {
            assert_eq!(Canned::parse(name), Some(canned));
        }
    }
}
