//! The record of a bucket.

use larder_erasure::Profile;

use super::{
    document::DocumentPlace,
    fields::{Decoder, Encoder, RecordError, Unknown},
    lock::BucketLock,
};
use crate::{
    objects::{names::AccountId, usage::Quota},
    varint,
};

const ID: u64 = 1;
const CREATED: u64 = 3;
const REGION: u64 = 5;
const DELETING: u64 = 7;
const VERSIONING: u64 = 9;
const DOCUMENT: u64 = 11;
const OWNER: u64 = 13;
/// Odd: whoever skipped it would write more than may be there.
const QUOTA: u64 = 19;
/// Even: whoever skips it writes with the cluster's profile, which spares as many disks or more.
const PROFILE: u64 = 24;

/// Whether a bucket keeps versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Versioning {
    /// It never did.
    #[default]
    Off,
    /// Each write makes a version.
    Enabled,
    /// It did: those that there are stay, each write replaces the null version.
    Suspended,
}

/// A bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::objects) struct BucketRecord {
    /// Unique to this bucket, even among buckets of the same name.
    pub(in crate::objects) id: u64,
    pub(in crate::objects) created_unix_millis: u64,
    pub(in crate::objects) region: String,
    /// Set while a deletion looks whether it is empty; the next write takes it back.
    pub(in crate::objects) is_deleting: bool,
    pub(in crate::objects) versioning: Versioning,
    /// One of each kind at most.
    pub(in crate::objects) documents: Vec<DocumentPlace>,
    pub(in crate::objects) owner: AccountId,
    /// Once there it never goes, and versioning stays enabled.
    pub(in crate::objects) lock: Option<BucketLock>,
    pub(in crate::objects) quota: Quota,
    /// How new objects are coded; `None`: as the cluster's are.
    pub(in crate::objects) profile: Option<Profile>,
    pub(in crate::objects) unknown: Unknown,
}

impl BucketRecord {
    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.number(ID, self.id);
        out.number(CREATED, self.created_unix_millis);
        out.bytes(REGION, self.region.as_bytes());
        if self.is_deleting {
            out.bytes(DELETING, &[]);
        }
        match self.versioning {
            Versioning::Off => {}
            Versioning::Enabled => out.number(VERSIONING, 1),
            Versioning::Suspended => out.number(VERSIONING, 2),
        }
        for place in &self.documents {
            out.bytes(DOCUMENT, &place.encode());
        }
        if self.owner != AccountId::default() {
            out.number(OWNER, self.owner.number());
        }
        if let Some(lock) = self.lock {
            lock.encode(&mut out);
        }
        if self.quota.is_set() {
            out.bytes(QUOTA, &put_quota(self.quota));
        }
        if let Some(profile) = self.profile {
            out.bytes(PROFILE, profile.to_string().as_bytes());
        }
        out.unknown(&self.unknown);
        out.finish()
    }

    pub(in crate::objects) fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut decoder = Decoder::new(record)?;
        let mut bucket = Self::default();
        let mut has_id = false;
        while let Some(field) = decoder.field()? {
            match field.tag {
                ID => {
                    bucket.id = field.number()?;
                    has_id = true;
                }
                CREATED => bucket.created_unix_millis = field.number()?,
                REGION => field.text()?.clone_into(&mut bucket.region),
                DELETING => bucket.is_deleting = true,
                VERSIONING => {
                    bucket.versioning = match field.number()? {
                        1 => Versioning::Enabled,
                        2 => Versioning::Suspended,
                        _ => return Err(field.bad()),
                    };
                }
                DOCUMENT => {
                    let place = DocumentPlace::decode(field.bytes).ok_or_else(|| field.bad())?;
                    if bucket
                        .documents
                        .iter()
                        .any(|known| known.kind == place.kind)
                    {
                        return Err(field.bad());
                    }
                    bucket.documents.push(place);
                }
                OWNER => {
                    bucket.owner =
                        AccountId::from_number(field.number()?).ok_or_else(|| field.bad())?;
                }
                QUOTA => bucket.quota = field.whole(take_quota)?,
                PROFILE => {
                    let profile = field.text()?.parse();
                    bucket.profile = Some(profile.map_err(|_| field.bad())?);
                }
                _ => match BucketLock::take(&field)? {
                    None => field.keep_unknown(&mut bucket.unknown)?,
                    lock => bucket.lock = lock,
                },
            }
        }
        match (has_id, decoder.rest().is_empty()) {
            (false, _) => Err(RecordError::Missing { tag: ID }),
            (true, false) => Err(RecordError::BadBody),
            (true, true) => Ok(bucket),
        }
    }
}

/// Two varints: bytes and objects, each one more than may be there; 0: no bound.
fn put_quota(quota: Quota) -> Vec<u8> {
    let mut out = Vec::new();
    for bound in [quota.max_bytes, quota.max_objects] {
        varint::put(&mut out, bound.map_or(0, |bound| bound.saturating_add(1)));
    }
    out
}

/// The record of how much may be in all buckets of an account.
pub(in crate::objects) fn encode_quota(quota: Quota) -> Vec<u8> {
    let mut out = Encoder::new();
    out.bytes(QUOTA, &put_quota(quota));
    out.finish()
}

/// What [`encode_quota`] wrote.
///
/// # Errors
/// It is damaged, or a newer release wrote more bounds than this one knows.
pub(in crate::objects) fn decode_quota(record: &[u8]) -> Result<Quota, RecordError> {
    let mut decoder = Decoder::new(record)?;
    let (mut quota, mut unknown) = (None, Unknown::new());
    while let Some(field) = decoder.field()? {
        match field.tag {
            QUOTA => quota = Some(field.whole(take_quota)?),
            _ => field.keep_unknown(&mut unknown)?,
        }
    }
    quota.ok_or(RecordError::Missing { tag: QUOTA })
}

fn take_quota(input: &mut &[u8]) -> Option<Quota> {
    let mut bound = || Some(varint::take(input)?.checked_sub(1));
    Some(Quota {
        max_bytes: bound()?,
        max_objects: bound()?,
    })
}
