//! Who owns what is in a bucket, as answers show it.

use std::collections::HashMap;

use larder_storage::objects::{BucketName, ObjectOwner};

use super::{Call, acl, listing};
use crate::{
    access::{ANONYMOUS_ID, Ownership},
    error::S3Result,
    xml::write::Owner,
};

/// The owner of a bucket, and those of its objects.
#[derive(Debug)]
pub(super) struct Owners {
    of_bucket: Owner,
    /// Those of objects that are not the bucket owner's; `None` where the bucket's owner owns all.
    others: Option<HashMap<ObjectOwner, Owner>>,
}

impl Owners {
    /// Those of a bucket, and of these objects in it.
    ///
    /// # Errors
    /// [`crate::error::S3Code::NoSuchBucket`].
    pub(super) async fn of(
        bucket: &BucketName,
        call: &Call<'_>,
        objects: impl IntoIterator<Item = Option<ObjectOwner>>,
    ) -> S3Result<Self> {
        let of_bucket = listing::owner(call, bucket).await?;
        if acl::ownership(bucket, call).await? == Ownership::BucketOwnerEnforced {
            return Ok(Self {
                of_bucket,
                others: None,
            });
        }
        let mut others = HashMap::new();
        for owner in objects.into_iter().flatten() {
            others.entry(owner).or_insert_with(|| shown(owner, call));
        }
        Ok(Self {
            of_bucket,
            others: Some(others),
        })
    }

    /// Whether access control lists count.
    pub(super) fn lists_count(&self) -> bool {
        self.others.is_some()
    }

    /// The bucket's.
    pub(super) fn of_bucket(&self) -> &Owner {
        &self.of_bucket
    }

    /// That of an object; it must have been named to [`Self::of`], or it is the bucket's.
    pub(super) fn of_object(&self, owner: Option<ObjectOwner>) -> &Owner {
        let others = self.others.as_ref();
        let other = owner.and_then(|owner| others?.get(&owner));
        other.unwrap_or(&self.of_bucket)
    }
}

fn shown(owner: ObjectOwner, call: &Call<'_>) -> Owner {
    match owner {
        ObjectOwner::Account(account) => call.app.accounts.owner(account),
        ObjectOwner::Anonymous => Owner {
            id: ANONYMOUS_ID.to_owned(),
            display_name: String::new(),
        },
    }
}
