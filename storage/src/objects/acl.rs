//! Who owns objects, and whom they let in. What a list means is told elsewhere; here it belongs to a version as its tags do.

use super::{BucketName, Happened, ObjectKey, Store, StoreError, VersionId, record::ObjectAcl};

/// The longest list: a hundred grants, and some room.
pub const MAX_ACL_BYTES: usize = 16 << 10;

/// The list of a version, to be set.
#[derive(Clone, Debug)]
pub struct SetAcl {
    /// What it has, as far as whoever asks knows: who may set the list, and whose it is, hangs on it.
    pub seen: ObjectAcl,
    /// What it is to have; its owner stays who it is.
    pub list: Option<Vec<u8>>,
}

impl ObjectAcl {
    /// Whether an object may have it.
    ///
    /// # Errors
    /// [`StoreError::MetadataTooLarge`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let bytes = self.list.as_ref().map_or(0, Vec::len);
        if bytes > MAX_ACL_BYTES {
            return Err(StoreError::MetadataTooLarge { bytes });
        }
        Ok(())
    }
}

impl Store {
    /// Replaces the access control list of a version of an object; `None`: the latest. Atomic; neither data nor time of modification
    /// change, and there is no new version.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`], [`StoreError::NoSuchVersion`], [`StoreError::DeleteMarker`];
    /// [`StoreError::Replaced`]: it has another list or owner than was seen; [`StoreError::MetadataTooLarge`].
    pub async fn set_acl(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        set: SetAcl,
    ) -> Result<(), StoreError> {
        let SetAcl { seen, list } = set;
        let acl = ObjectAcl {
            owner: seen.owner,
            list,
        };
        acl.check()?;
        let changed = self.modify_object(bucket, key, version, Some(Happened::AclSet), |found| {
            if found.record.acl != seen {
                return Err(StoreError::Replaced);
            }
            found.record.acl = acl.clone();
            Ok(())
        });
        changed.await.map(drop)
    }
}
