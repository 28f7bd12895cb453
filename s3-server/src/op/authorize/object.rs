//! Where access control lists count, an object's owner and list have a say: a bucket's policy lets others at what the bucket's owner owns,
//! and at nothing else; what it denies it denies of all.
//!
//! A decision that rests on an object comes with a hold on it, so that what is served is what was decided about, and it is read once.

use larder_storage::objects::{
    BucketName, ObjectAcl, ObjectHandle, ObjectInfo, ObjectKey, Store, StoreError, VersionId,
};
use parking_lot::Mutex;

use crate::{access::Permission, audit::Say};

/// What a decision rested on.
#[derive(Debug, Default)]
pub enum Decided {
    /// Nothing of any object.
    #[default]
    Without,
    /// That there is none.
    Absent,
    /// The owner and the list of this one.
    On {
        /// Both of them.
        acl: ObjectAcl,
        /// The object, until it is taken; on the heap: most requests have none.
        handle: Mutex<Option<Box<ObjectHandle>>>,
    },
}

impl Decided {
    /// Who has a say besides policies.
    pub(super) fn say(&self) -> Say {
        match self {
            Self::On { acl, .. } if acl.owner.is_some() => Say::Object,
            Self::On { .. } | Self::Without => Say::Bucket,
            Self::Absent => Say::Absent,
        }
    }

    /// What there is of an object whose owner and list have a say.
    ///
    /// # Errors
    /// Those of the store, but for an object that is not there.
    pub(super) async fn read(
        store: &Store,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<Self, StoreError> {
        match store.object_version(bucket, key, version).await {
            Ok(handle) => Ok(Self::On {
                acl: handle.info().acl.clone(),
                handle: Mutex::new(Some(Box::new(handle))),
            }),
            Err(
                StoreError::NoSuchKey
                | StoreError::NoSuchVersion
                | StoreError::NoSuchBucket
                | StoreError::DeleteMarker { .. },
            ) => Ok(Self::Absent),
            Err(error) => Err(error),
        }
    }

    /// What was found, while it was not taken.
    pub(super) fn with_info<T>(&self, look: impl FnOnce(&ObjectInfo) -> T) -> Option<T> {
        match self {
            Self::On { handle, .. } => handle.lock().as_ref().map(|handle| look(handle.info())),
            Self::Without | Self::Absent => None,
        }
    }

    /// The object that was decided about; read again where it was taken before, or the decision needed none.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Replaced`] where by now there is one that nothing was decided about.
    pub(in crate::op) async fn object(
        &self,
        store: &Store,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<ObjectHandle, StoreError> {
        if let Self::On { handle, .. } = self
            && let Some(handle) = handle.lock().take()
        {
            return Ok(*handle);
        }
        let found = store.object_version(bucket, key, version).await?;
        match self {
            Self::Without => Ok(found),
            Self::On { acl, .. } if *acl == found.info().acl => Ok(found),
            Self::Absent | Self::On { .. } => Err(StoreError::Replaced),
        }
    }
}

/// What an object's list has to grant for an action; `None` for actions that are the bucket's matter.
pub(super) fn permission(action: &str) -> Option<Permission> {
    Some(match action {
        "s3:GetObject"
        | "s3:GetObjectVersion"
        | "s3:GetObjectAttributes"
        | "s3:GetObjectVersionAttributes" => Permission::Read,
        "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" => Permission::ReadAcp,
        "s3:PutObjectAcl" | "s3:PutObjectVersionAcl" => Permission::WriteAcp,
        _ => return None,
    })
}
