//! Other envelopes in place of those there are: data keys are wrapped anew, and what they encrypt stays as it is.
//!
//! A pass goes through all buckets by name, and in each through its uploads, then its objects, then its versions, in order of their rows. That order is
//! what makes it whole: an envelope moves from an upload to the object that it becomes, and from an object to its place among the versions, and never
//! back; so whatever moves before a pass has come to it is met again further on. What is written meanwhile has a new envelope already.
//!
//! Invariants: a row changes on the condition that it is as it was read, so clients win; a step may be repeated; a pass that says that nothing failed has left
//! no envelope that it was told to replace.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    BucketName, ObjectKey, Store, StoreError,
    commit::{ATTEMPTS, Draft},
    keys,
    object::FoundObject,
    record::{Body, ObjectRecord, RecordError, UploadRecord},
};
use crate::{meta::Entry, upkeep::Pace, varint};

const MEMORY_KEY: &[u8] = b"sreseal";
const VERSION: u8 = 1;
/// Rows read at a time.
const PAGE: usize = 512;
/// Rows changed at a time: their commits share the disks' syncs.
const AT_ONCE: usize = 16;

/// What becomes of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resealed {
    /// It is as it should be.
    Kept,
    /// This one takes its place, and gives the same data key.
    New(Vec<u8>),
    /// It can't be opened.
    Failed,
}

/// What wraps data keys: not this crate's matter.
pub trait Reseal: Send + Sync {
    /// What is to become of the envelope of this object or upload.
    fn reseal(&self, bucket: &BucketName, key: &ObjectKey, envelope: &[u8]) -> Resealed;
}

/// What steps have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResealTally {
    /// Uploads, objects and versions that were looked at.
    pub looked_at: u64,
    /// Those that have another envelope now.
    pub resealed: u64,
    /// Those that should have, and have not.
    pub failed: u64,
    /// Bytes of small objects that were written again in the log, encrypted as they were, since they travel with their records.
    pub moved_bytes: u64,
}

impl ResealTally {
    /// Adds what another step did.
    pub fn add(&mut self, other: Self) {
        self.looked_at += other.looked_at;
        self.resealed += other.resealed;
        self.failed += other.failed;
        self.moved_bytes += other.moved_bytes;
    }
}

/// How far a pass has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealPlace {
    /// The bucket that it is in; empty: before the first.
    bucket: String,
    space: Space,
    /// Rows come next that sort after this.
    after: Bytes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Space {
    #[default]
    Uploads,
    Objects,
    Versions,
}

/// A row to look at.
struct Row<'a> {
    bucket: &'a BucketName,
    space: Space,
    key: ObjectKey,
    /// Its place in the metadata.
    at: Bytes,
}

/// What came of a row.
enum Outcome {
    Kept,
    Resealed { moved_bytes: u64 },
    Failed,
}

impl Space {
    const ALL: [Self; 3] = [Self::Uploads, Self::Objects, Self::Versions];

    fn next(self) -> Option<Self> {
        match self {
            Self::Uploads => Some(Self::Objects),
            Self::Objects => Some(Self::Versions),
            Self::Versions => None,
        }
    }

    fn prefix(self, bucket: u64) -> Vec<u8> {
        match self {
            Self::Uploads => keys::uploads(bucket, ""),
            Self::Objects => keys::objects(bucket),
            Self::Versions => keys::versions(bucket, ""),
        }
    }

    fn name(self, row: &[u8]) -> Option<String> {
        match self {
            Self::Uploads => keys::parse_upload(row).map(|(_, name, _)| name),
            Self::Objects => keys::parse_object(row).map(|(_, name)| name),
            Self::Versions => keys::parse_version(row).map(|(_, name, _)| name),
        }
    }
}

impl Store {
    /// Looks at the next rows and puts other envelopes in place as `reseal` says, resting as `pace` does. Says what comes next; `None`: nothing.
    ///
    /// # Errors
    /// Those of the metadata engine. What was done stays done, and the step may be repeated.
    pub async fn reseal_step(
        &self,
        from: &ResealPlace,
        reseal: &dyn Reseal,
        pace: &Pace,
    ) -> Result<(ResealTally, Option<ResealPlace>), StoreError> {
        let name = BucketName::parse(&from.bucket).ok();
        let bucket = match &name {
            Some(name) => self.open_bucket(name).await,
            None => Err(StoreError::NoSuchBucket),
        };
        let (name, bucket) = match (name, bucket) {
            (Some(name), Ok(bucket)) => (name, bucket),
            (_, Err(StoreError::NoSuchBucket) | Ok(_)) => {
                let next = self.bucket_to_reseal(&from.bucket).await?;
                return Ok((ResealTally::default(), next));
            }
            (_, Err(error)) => return Err(error),
        };
        let entries = self.rows_to_reseal(bucket.id(), from, pace).await?;
        let mut tally = ResealTally::default();
        let mut rows = Vec::new();
        for entry in &entries {
            tally.looked_at += 1;
            match row_of(entry, &name, from.space, reseal) {
                Ok(row) => rows.extend(row),
                Err(_) => tally.failed += 1,
            }
        }
        for rows in rows.chunks(AT_ONCE) {
            tally.add(self.reseal_rows(rows, reseal, pace).await?);
        }
        let last = entries.last().filter(|_| entries.len() == PAGE);
        let next = match (last, from.space.next()) {
            (Some(last), _) => Some(ResealPlace {
                after: last.key.clone(),
                ..from.clone()
            }),
            (None, Some(space)) => Some(ResealPlace {
                space,
                after: Bytes::new(),
                ..from.clone()
            }),
            (None, None) => self.bucket_to_reseal(&from.bucket).await?,
        };
        Ok((tally, next))
    }

    async fn rows_to_reseal(
        &self,
        bucket: u64,
        from: &ResealPlace,
        pace: &Pace,
    ) -> Result<Vec<Entry>, StoreError> {
        let began = pace.begin();
        let prefix = from.space.prefix(bucket);
        let to = keys::successor(&prefix);
        // A bucket that was made again since has other rows.
        let start = if from.after.starts_with(&prefix) {
            [&from.after[..], &[0]].concat()
        } else {
            prefix
        };
        let entries = self.inner.meta.scan(&start, &to, PAGE).await?;
        pace.rest_since(began, 0).await;
        Ok(entries)
    }

    async fn reseal_rows(
        &self,
        rows: &[Row<'_>],
        reseal: &dyn Reseal,
        pace: &Pace,
    ) -> Result<ResealTally, StoreError> {
        let began = pace.begin();
        // On the heap: many of them, and large.
        let outcomes = rows
            .iter()
            .map(|row| Box::pin(self.reseal_row(row, reseal)));
        let mut tally = ResealTally::default();
        for outcome in join_all(outcomes).await {
            match outcome {
                Ok(Outcome::Kept) => {}
                Ok(Outcome::Resealed { moved_bytes }) => {
                    tally.resealed += 1;
                    tally.moved_bytes += moved_bytes;
                }
                Ok(Outcome::Failed) => tally.failed += 1,
                Err(error) => return Err(error),
            }
        }
        pace.rest_since(began, tally.moved_bytes).await;
        Ok(tally)
    }

    async fn reseal_row(&self, row: &Row<'_>, reseal: &dyn Reseal) -> Result<Outcome, StoreError> {
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let done = match row.space {
                Space::Uploads => self.reseal_upload(row, reseal).await?,
                Space::Objects | Space::Versions => self.reseal_object(row, reseal).await?,
            };
            match done {
                Some(outcome) => return Ok(outcome),
                None => self.inner.turns.take(&row.at, &mut turn).await,
            }
        }
        Err(StoreError::Conflict)
    }

    /// `None`: somebody else changed the row meanwhile.
    async fn reseal_object(
        &self,
        row: &Row<'_>,
        reseal: &dyn Reseal,
    ) -> Result<Option<Outcome>, StoreError> {
        let Some(FoundObject {
            revision,
            mut record,
        }) = self.find_object(&row.at).await?
        else {
            return Ok(Some(Outcome::Kept));
        };
        let Some(encryption) = &mut record.encryption else {
            return Ok(Some(Outcome::Kept));
        };
        match reseal.reseal(row.bucket, &row.key, &encryption.envelope) {
            Resealed::Kept => return Ok(Some(Outcome::Kept)),
            Resealed::Failed => return Ok(Some(Outcome::Failed)),
            Resealed::New(envelope) => encryption.envelope = envelope,
        }
        let (mut draft, mut moved_bytes) = (Draft::default(), 0);
        match self.code_again(&row.at, revision, &record.body).await {
            Ok(Some(inline)) => {
                moved_bytes = inline.size;
                record.body = Body::Empty;
                draft.inline(Some(inline));
            }
            Ok(None) => {}
            // Upkeep has moved the blob since the record was read.
            Err(_) if self.revision_of(&row.at).await? != Some(revision) => return Ok(None),
            // It can't be read now: nothing is lost, and it is for the next pass.
            Err(_) => return Ok(Some(Outcome::Failed)),
        }
        draft.put(row.at.clone(), record.encode());
        draft.expect(row.at.clone(), Some(revision));
        let committed = self.try_commit(draft).await?;
        Ok(committed.map(|_| Outcome::Resealed { moved_bytes }))
    }

    async fn reseal_upload(
        &self,
        row: &Row<'_>,
        reseal: &dyn Reseal,
    ) -> Result<Option<Outcome>, StoreError> {
        let Some(found) = self.inner.meta.get(&row.at).await? else {
            return Ok(Some(Outcome::Kept));
        };
        let mut record = UploadRecord::decode(&found.value)?;
        let Some(encryption) = &mut record.encryption else {
            return Ok(Some(Outcome::Kept));
        };
        match reseal.reseal(row.bucket, &row.key, &encryption.envelope) {
            Resealed::Kept => return Ok(Some(Outcome::Kept)),
            Resealed::Failed => return Ok(Some(Outcome::Failed)),
            Resealed::New(envelope) => encryption.envelope = envelope,
        }
        let mut draft = Draft::default();
        draft.put(row.at.clone(), record.encode());
        draft.expect(row.at.clone(), Some(found.revision));
        let committed = self.try_commit(draft).await?;
        Ok(committed.map(|_| Outcome::Resealed { moved_bytes: 0 }))
    }

    /// The place at the beginning of the first bucket after `name`.
    async fn bucket_to_reseal(&self, name: &str) -> Result<Option<ResealPlace>, StoreError> {
        let all = keys::bucket_prefix("");
        let from = match name {
            "" => all.to_vec(),
            name => [&keys::bucket_prefix(name)[..], &[0]].concat(),
        };
        let to = keys::successor(&all);
        let found = self.inner.meta.scan(&from, &to, 1).await?;
        let Some(entry) = found.first() else {
            return Ok(None);
        };
        let name = entry.key.get(1..).unwrap_or_default().to_vec();
        let bucket = String::from_utf8(name).map_err(|_| RecordError::BadKey)?;
        BucketName::parse(&bucket).map_err(|_| RecordError::BadKey)?;
        Ok(Some(ResealPlace {
            bucket,
            ..ResealPlace::default()
        }))
    }

    /// What a pass wrote down last.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn reseal_memory(&self) -> Result<Option<ResealMemory>, StoreError> {
        let found = self.inner.meta.get(MEMORY_KEY).await?;
        Ok(found.and_then(|found| ResealMemory::decode(&found.value)))
    }

    /// Writes down how far a pass is. On `Ok` that survives power loss.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn remember_reseal(&self, memory: &ResealMemory) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        draft.put(Bytes::from_static(MEMORY_KEY), memory.encode());
        self.try_commit(draft).await.map(drop)
    }
}

/// The row of an entry, if it is to be changed.
fn row_of<'a>(
    entry: &Entry,
    bucket: &'a BucketName,
    space: Space,
    reseal: &dyn Reseal,
) -> Result<Option<Row<'a>>, RecordError> {
    let encryption = match space {
        Space::Uploads => UploadRecord::decode(&entry.value)?.encryption,
        Space::Objects | Space::Versions => ObjectRecord::decode(&entry.value)?.encryption,
    };
    let Some(encryption) = encryption else {
        return Ok(None);
    };
    let key = space.name(&entry.key).ok_or(RecordError::BadKey)?;
    let key = ObjectKey::parse(&key).map_err(|_| RecordError::BadKey)?;
    if reseal.reseal(bucket, &key, &encryption.envelope) == Resealed::Kept {
        return Ok(None);
    }
    let at = entry.key.clone();
    Ok(Some(Row {
        bucket,
        space,
        key,
        at,
    }))
}

/// What passes remember over restarts.
///
/// `01`, then varints: when the last pass began, when the last that came to its end did, its tally, 1 if a pass is under way, and then its tally, its stage (0
/// uploads, 1 objects, 2 versions), and length and bytes of: the bucket that it is in, the row after which it goes on, what it was begun for. What follows is
/// for later releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealMemory {
    /// Milliseconds since the Unix epoch; 0: never.
    pub started_unix_millis: u64,
    /// Likewise, of the last that came to its end.
    pub ended_unix_millis: u64,
    /// What that one did.
    pub last: ResealTally,
    /// The pass under way.
    pub pass: Option<ResealPass>,
}

/// A pass under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealPass {
    /// The identifier of the key that it was begun for.
    pub target: String,
    /// What it has done.
    pub tally: ResealTally,
    /// Where it is.
    pub place: ResealPlace,
}

impl ResealMemory {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        varint::put(&mut out, self.started_unix_millis);
        varint::put(&mut out, self.ended_unix_millis);
        put_tally(&mut out, &self.last);
        varint::put(&mut out, u64::from(self.pass.is_some()));
        if let Some(pass) = &self.pass {
            put_tally(&mut out, &pass.tally);
            varint::put(&mut out, pass.place.space as u64);
            for bytes in [
                pass.place.bucket.as_bytes(),
                &pass.place.after,
                pass.target.as_bytes(),
            ] {
                varint::put(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
        out
    }

    /// `None` on anything that [`Self::encode`] would not write, but for what follows it: a pass begins anew then.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes.strip_prefix(&[VERSION])?;
        let mut memory = Self {
            started_unix_millis: varint::take(input)?,
            ended_unix_millis: varint::take(input)?,
            last: take_tally(input)?,
            pass: None,
        };
        if varint::take(input)? != 0 {
            memory.pass = Some(take_pass(input)?);
        }
        Some(memory)
    }
}

fn take_pass(input: &mut &[u8]) -> Option<ResealPass> {
    let tally = take_tally(input)?;
    let space = usize::try_from(varint::take(input)?).ok()?;
    let space = *Space::ALL.get(space)?;
    let bucket = take_bytes(input)?.to_vec();
    let after = Bytes::copy_from_slice(take_bytes(input)?);
    let target = String::from_utf8(take_bytes(input)?.to_vec()).ok()?;
    let place = ResealPlace {
        bucket: String::from_utf8(bucket).ok()?,
        space,
        after,
    };
    Some(ResealPass {
        target,
        tally,
        place,
    })
}

fn put_tally(out: &mut Vec<u8>, tally: &ResealTally) {
    let ResealTally {
        looked_at,
        resealed,
        failed,
        moved_bytes,
    } = *tally;
    for number in [looked_at, resealed, failed, moved_bytes] {
        varint::put(out, number);
    }
}

fn take_tally(input: &mut &[u8]) -> Option<ResealTally> {
    Some(ResealTally {
        looked_at: varint::take(input)?,
        resealed: varint::take(input)?,
        failed: varint::take(input)?,
        moved_bytes: varint::take(input)?,
    })
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::take(input)?).ok()?;
    varint::take_bytes(input, length)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn tally() -> impl Strategy<Value = ResealTally> {
        any::<[u64; 4]>().prop_map(|[looked_at, resealed, failed, moved_bytes]| ResealTally {
            looked_at,
            resealed,
            failed,
            moved_bytes,
        })
    }

    prop_compose! {
        fn pass()(tally in tally(), bucket in "[a-z]{0,9}", after: Vec<u8>, space in 0..3_usize, target in "[a-z]{1,9}") -> ResealPass {
            let place = ResealPlace { bucket, space: Space::ALL[space], after: after.into() };
            ResealPass { target, tally, place }
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_survives_the_round_trip(
            started_unix_millis: u64, ended_unix_millis: u64, last in tally(), pass in option::of(pass()), more in vec(any::<u8>(), 0..9),
        ) {
            let memory = ResealMemory { started_unix_millis, ended_unix_millis, last, pass };
            let mut bytes = memory.encode();
            bytes.extend_from_slice(&more);
            prop_assert_eq!(ResealMemory::decode(&bytes), Some(memory));
        }

        #[test]
        fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..60)) {
            drop(ResealMemory::decode(&bytes));
        }
    }
}
