//! What scrubbing remembers over restarts: small records in the metadata, written now and then.
//!
//! | key | value |
//! |---|---|
//! | `sscrub` | settings, and where the pass under way is |
//! | `sscrubd`, disk number (2) | the last full pass over that disk |
//! | `sscrubb`, bucket id (8) | the last full pass over that bucket's objects |
//!
//! Values begin with a version byte (1); numbers are varints; what follows the known fields is for later releases.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{disk::DiskNo, objects::blobs::WalkPosition, upkeep::PaceSettings, varint};

const VERSION: u8 = 1;
/// The key of [`Memory`].
pub(super) const MEMORY_KEY: &[u8] = b"sscrub";
const DISK_KEY: &[u8] = b"sscrubd";
const BUCKET_KEY: &[u8] = b"sscrubb";

/// The key of a disk's [`Verified`].
pub(super) fn disk_key(disk: DiskNo) -> Bytes {
    [DISK_KEY, &disk.0.to_be_bytes()].concat().into()
}

/// The key of a bucket's [`Verified`].
pub(super) fn bucket_key(bucket: u64) -> Bytes {
    [BUCKET_KEY, &bucket.to_be_bytes()].concat().into()
}

/// The bucket of such a key.
pub(super) fn bucket_of_key(key: &[u8]) -> Option<u64> {
    let id = key.strip_prefix(BUCKET_KEY)?;
    Some(u64::from_be_bytes(id.try_into().ok()?))
}

/// Where the keys of buckets begin and end.
pub(super) fn bucket_keys() -> (Vec<u8>, Vec<u8>) {
    (BUCKET_KEY.to_vec(), b"sscrubc".to_vec())
}

/// What a full pass over a disk or a bucket found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// When it began, milliseconds since the Unix epoch.
    pub started_unix_millis: u64,
    /// When it ended.
    pub ended_unix_millis: u64,
    /// Of a disk: bytes read and verified. Of a bucket: bytes of its objects.
    pub bytes: u64,
    /// Shards and copies of records that were missing or not what they should be.
    pub damage: u64,
}

/// What a pass has done so far, of one disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskTally {
    /// Bytes read and verified.
    pub bytes: u64,
    /// Shards and copies of records that were missing or not what they should be.
    pub damage: u64,
    /// Bytes of the log that were no frame, with a frame after them: torn by a crash, or rotten.
    pub skipped_log_bytes: u64,
    /// Extents that no record names, removed.
    pub leaks: u64,
}

/// What a pass does. In this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the logs.
    #[default]
    Logs,
    /// Reading the extents of objects.
    Objects,
    /// Reading the extents of uploads in progress.
    Uploads,
    /// Looking for extents that no record names.
    Leaks,
}

impl Stage {
    /// What comes after it; `None` at the end of the pass.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Logs => Some(Self::Objects),
            Self::Objects => Some(Self::Uploads),
            Self::Uploads => Some(Self::Leaks),
            Self::Leaks => None,
        }
    }

    fn code(self) -> u64 {
        match self {
            Self::Logs => 0,
            Self::Objects => 1,
            Self::Uploads => 2,
            Self::Leaks => 3,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        let all = [Self::Logs, Self::Objects, Self::Uploads, Self::Leaks];
        all.into_iter().find(|stage| stage.code() == code)
    }
}

/// A pass under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) started_unix_millis: u64,
    pub(super) stage: Stage,
    /// Per disk the last segment that was read.
    pub(super) segments: BTreeMap<DiskNo, u32>,
    /// Where the walk over objects or uploads is.
    pub(super) walk: WalkPosition,
    /// The next directory of extents to look for leaks in.
    pub(super) fan_out: u64,
    pub(super) disks: BTreeMap<DiskNo, DiskTally>,
    /// Disks that were away at some time of the pass: it says nothing about them.
    pub(super) missed: BTreeSet<DiskNo>,
    /// The bucket that the walk is in, with the bytes of its objects.
    pub(super) bucket: Option<(u64, u64)>,
    /// Damage per bucket.
    pub(super) bucket_damage: BTreeMap<u64, u64>,
}

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) paused: bool,
    pub(super) pace: PaceSettings,
    /// When the last pass began, if there was one.
    pub(super) last_started_unix_millis: u64,
    pub(super) pass: Option<Pass>,
}

impl Verified {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        for number in [
            self.started_unix_millis,
            self.ended_unix_millis,
            self.bytes,
            self.damage,
        ] {
            varint::put(&mut out, number);
        }
        out.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes.strip_prefix(&[VERSION])?;
        Some(Self {
            started_unix_millis: varint::take(&mut input)?,
            ended_unix_millis: varint::take(&mut input)?,
            bytes: varint::take(&mut input)?,
            damage: varint::take(&mut input)?,
        })
    }
}

impl Memory {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        varint::put(&mut out, u64::from(self.paused));
        self.pace.put(&mut out);
        varint::put(&mut out, self.last_started_unix_millis);
        varint::put(&mut out, u64::from(self.pass.is_some()));
        if let Some(pass) = &self.pass {
            pass.encode_into(&mut out);
        }
        out.into()
    }

    /// `None` on anything that [`Self::encode`] would not write, but for what follows it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes.strip_prefix(&[VERSION])?;
        let paused = varint::take(&mut input)? != 0;
        let pace = PaceSettings::take(&mut input)?;
        let last_started_unix_millis = varint::take(&mut input)?;
        let pass = match varint::take(&mut input)? {
            0 => None,
            _ => Some(Pass::take(&mut input)?),
        };
        Some(Self {
            paused,
            pace,
            last_started_unix_millis,
            pass,
        })
    }
}

impl Pass {
    fn encode_into(&self, out: &mut Vec<u8>) {
        varint::put(out, self.started_unix_millis);
        varint::put(out, self.stage.code());
        varint::put(out, self.segments.len() as u64);
        for (disk, segment) in &self.segments {
            varint::put(out, u64::from(disk.0));
            varint::put(out, u64::from(*segment));
        }
        varint::put(out, self.walk.key.len() as u64);
        out.extend_from_slice(&self.walk.key);
        varint::put(out, u64::from(self.walk.part));
        varint::put(out, self.fan_out);
        varint::put(out, self.disks.len() as u64);
        for (disk, tally) in &self.disks {
            varint::put(out, u64::from(disk.0));
            for number in [
                tally.bytes,
                tally.damage,
                tally.skipped_log_bytes,
                tally.leaks,
            ] {
                varint::put(out, number);
            }
        }
        varint::put(out, self.missed.len() as u64);
        for disk in &self.missed {
            varint::put(out, u64::from(disk.0));
        }
        let (bucket, bytes) = self.bucket.unwrap_or_default();
        varint::put(out, u64::from(self.bucket.is_some()));
        varint::put(out, bucket);
        varint::put(out, bytes);
        varint::put(out, self.bucket_damage.len() as u64);
        for (bucket, damage) in &self.bucket_damage {
            varint::put(out, *bucket);
            varint::put(out, *damage);
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let mut pass = Self {
            started_unix_millis: varint::take(input)?,
            stage: Stage::from_code(varint::take(input)?)?,
            ..Self::default()
        };
        for _ in 0..varint::take(input)? {
            let disk = take_disk(input)?;
            let segment = u32::try_from(varint::take(input)?).ok()?;
            pass.segments.insert(disk, segment);
        }
        let key_bytes = usize::try_from(varint::take(input)?).ok()?;
        pass.walk.key = varint::take_bytes(input, key_bytes)?.to_vec();
        pass.walk.part = u16::try_from(varint::take(input)?).ok()?;
        pass.fan_out = varint::take(input)?;
        for _ in 0..varint::take(input)? {
            let disk = take_disk(input)?;
            let tally = DiskTally {
                bytes: varint::take(input)?,
                damage: varint::take(input)?,
                skipped_log_bytes: varint::take(input)?,
                leaks: varint::take(input)?,
            };
            pass.disks.insert(disk, tally);
        }
        for _ in 0..varint::take(input)? {
            pass.missed.insert(take_disk(input)?);
        }
        let has_bucket = varint::take(input)? != 0;
        let bucket = (varint::take(input)?, varint::take(input)?);
        pass.bucket = has_bucket.then_some(bucket);
        for _ in 0..varint::take(input)? {
            pass.bucket_damage
                .insert(varint::take(input)?, varint::take(input)?);
        }
        Some(pass)
    }
}

fn take_disk(input: &mut &[u8]) -> Option<DiskNo> {
    Some(DiskNo(u16::try_from(varint::take(input)?).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn tally() -> impl Strategy<Value = DiskTally> {
        any::<[u64; 4]>().prop_map(|[bytes, damage, skipped_log_bytes, leaks]| DiskTally {
            bytes,
            damage,
            skipped_log_bytes,
            leaks,
        })
    }

    prop_compose! {
        fn pass()(
            started_unix_millis: u64, stage in 0..4_u64, fan_out in 0..256_u64,
            segments in collection::btree_map(any::<u16>().prop_map(DiskNo), any::<u32>(), 0..4),
            key: Vec<u8>, part: u16,
            disks in collection::btree_map(any::<u16>().prop_map(DiskNo), tally(), 0..4),
            missed in collection::btree_set(any::<u16>().prop_map(DiskNo), 0..4),
            bucket: Option<(u64, u64)>,
            bucket_damage in collection::btree_map(any::<u64>(), any::<u64>(), 0..4),
        ) -> Pass {
            let stage = Stage::from_code(stage).unwrap();
            let walk = WalkPosition { key, part };
            Pass { started_unix_millis, stage, segments, walk, fan_out, disks, missed, bucket, bucket_damage }
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_survives_the_round_trip(
            paused: bool, share_percent in 1..=100_u8, limit: u64, last_started_unix_millis: u64,
            pass in prop::option::of(pass()), verified: [u64; 4], more: Vec<u8>,
        ) {
            let pace = PaceSettings { share_percent, max_bytes_per_second: Some(limit).filter(|limit| *limit > 0) };
            let memory = Memory { paused, pace, last_started_unix_millis, pass };
            let bytes = [&memory.encode()[..], &more].concat();
            prop_assert_eq!(Memory::decode(&bytes), Some(memory));
            let [started_unix_millis, ended_unix_millis, bytes, damage] = verified;
            let verified = Verified { started_unix_millis, ended_unix_millis, bytes, damage };
            let bytes = [&verified.encode()[..], &more].concat();
            prop_assert_eq!(Verified::decode(&bytes), Some(verified));
        }

        #[test]
        fn random_bytes_never_panic(mut bytes: Vec<u8>) {
            for _ in 0..2 {
                let again = |memory: Memory| Memory::decode(&memory.encode()) == Some(memory);
                prop_assert!(Memory::decode(&bytes).is_none_or(again));
                let again = |verified: Verified| Verified::decode(&verified.encode()) == Some(verified);
                prop_assert!(Verified::decode(&bytes).is_none_or(again));
                bytes.insert(0, VERSION);
            }
        }
    }

    #[test]
    fn keys_tell_disks_from_buckets() {
        let (from, to) = bucket_keys();
        let inside = |key: &[u8]| *from <= *key && *key < *to;
        assert!(inside(&bucket_key(0)) && inside(&bucket_key(u64::MAX)));
        assert!(!inside(&disk_key(DiskNo(u16::MAX))) && !inside(MEMORY_KEY));
        assert_eq!(bucket_of_key(&bucket_key(77)), Some(77));
        assert_eq!(bucket_of_key(&disk_key(DiskNo(7))), None);
    }
}
