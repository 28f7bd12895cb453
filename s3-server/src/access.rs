//! What a bucket is configured with about access, beside its policy: access control lists, who owns objects, what is blocked of public
//! access. How these are kept, and what they mean; XML and HTTP are elsewhere.
//!
//! Invariant: what is kept and can't be read grants nothing.

mod acl;

use larder_storage::objects::{BucketName, DocumentKind, Store, StoreError};
use serde::{Deserialize, Serialize};

pub use acl::{ANONYMOUS_ID, Acl, Canned, Grant, Grantee, MAX_GRANTS, Permission, is_well_known};

/// Who owns the objects of a bucket, and whether access control lists count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
pub enum Ownership {
    /// The bucket's owner; lists don't count and can't be set.
    #[default]
    #[value(name = "BucketOwnerEnforced")]
    BucketOwnerEnforced,
    /// Lists count; the bucket's owner owns what is written with `bucket-owner-full-control`.
    #[value(name = "BucketOwnerPreferred")]
    BucketOwnerPreferred,
    /// Lists count.
    #[value(name = "ObjectWriter")]
    ObjectWriter,
}

impl Ownership {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::BucketOwnerEnforced,
        Self::BucketOwnerPreferred,
        Self::ObjectWriter,
    ];

    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// From AWS's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|ownership| ownership.as_str() == text)
    }

    /// What a bucket was set to; `None` where it never was.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_for(bucket: &BucketName, store: &Store) -> Result<Option<Self>, StoreError> {
        let found = store.document(bucket, DocumentKind::Ownership).await?;
        let parse = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok();
            text.and_then(Self::parse).unwrap_or_default()
        };
        Ok(found.map(|document| *document.parsed(parse)))
    }

    /// What holds for a bucket.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(bucket: &BucketName, store: &Store, default: Self) -> Result<Self, StoreError> {
        Ok(Self::set_for(bucket, store).await?.unwrap_or(default))
    }
}

/// What is blocked of what policies and lists give to everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four switches, as AWS has them"
)]
pub struct PublicAccessBlock {
    /// Public lists can't be set.
    pub block_public_acls: bool,
    /// Public lists don't count.
    pub ignore_public_acls: bool,
    /// Public policies can't be set.
    pub block_public_policy: bool,
    /// A public policy counts only within the bucket's account.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// What holds where nobody can tell.
    const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };

    /// What a bucket was set to; `None` where it never was.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_for(bucket: &BucketName, store: &Store) -> Result<Option<Self>, StoreError> {
        let found = store
            .document(bucket, DocumentKind::PublicAccessBlock)
            .await?;
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Self::ALL);
        Ok(found.map(|document| *document.parsed(parse)))
    }

    /// What holds for a bucket.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(bucket: &BucketName, store: &Store) -> Result<Self, StoreError> {
        Ok(Self::set_for(bucket, store).await?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_aws_and_of_the_flag() {
        use clap::ValueEnum as _;
        for ownership in Ownership::ALL {
            assert_eq!(Ownership::parse(ownership.as_str()), Some(ownership));
            let flag = ownership.to_possible_value().expect("a value");
            assert_eq!(flag.get_name(), ownership.as_str());
            let kept = serde_json::to_string(&ownership).expect("a text");
            assert_eq!(kept, format!("{:?}", ownership.as_str()));
        }
        assert_eq!(Ownership::parse("Nobody"), None);
    }
}
