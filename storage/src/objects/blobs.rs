//! Walking all blobs that records name, object by object, with their parts: for looking at their shards.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;

use super::{
    BucketName, Store, StoreError,
    commit::Draft,
    keys,
    pages::Pages,
    record::{Body, BucketRecord, Manifest, ObjectRecord, ObjectSummary, PartRecord, RecordError},
};
use crate::{
    meta::{
        Entry, Revision,
        keys::{UNTOLD, heal_key},
    },
    stripes::BlobPlacement,
};

/// Entries read at a time.
const PAGE: usize = 256;
/// Keys queued for healing in one commit.
const QUEUE_AT_ONCE: usize = 30;

/// A blob, and the record that names it.
#[derive(Clone, Debug)]
pub(crate) struct NamedBlob {
    /// The key of the object's or part's record.
    pub(crate) key: Bytes,
    /// The record's revision.
    pub(crate) revision: Revision,
    /// The key of the object or upload that it belongs to, and its revision: when that goes, the blob may go before its own record does.
    pub(crate) whole_key: Bytes,
    pub(crate) whole: Revision,
    pub(crate) placement: BlobPlacement,
}

/// The bucket of an object's or upload's key.
pub(crate) fn bucket_of(key: &[u8]) -> Option<u64> {
    let id = keys::parse_named(key).map(|(bucket, _)| bucket);
    id.or_else(|| keys::parse_upload(key).map(|(bucket, ..)| bucket))
}

/// What comes next on a walk.
#[derive(Clone, Debug)]
pub(crate) enum Walked {
    /// A blob of the object, or upload, that comes next.
    Blob(NamedBlob),
    /// The end of an object or upload.
    End {
        bucket: u64,
        /// The object's key.
        name: String,
        size: u64,
    },
    /// A record that can't be understood: written by a later version, or wrong.
    Unknown {
        key: Bytes,
        /// The object's key, where the whole record is not understood: then no end follows.
        name: Option<String>,
        error: String,
    },
}

/// What is under a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixTotal {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Where a walk is: at the record of this key, after this part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WalkPosition {
    pub(crate) key: Vec<u8>,
    pub(crate) part: u16,
}

/// Which records are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkSpace {
    Objects,
    Uploads,
}

/// A walk in order of key.
#[derive(Debug)]
pub(crate) struct BlobWalk {
    store: Store,
    space: WalkSpace,
    from: Vec<u8>,
    to: Vec<u8>,
    /// What is walked: objects, then their further versions.
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
    page: VecDeque<Entry>,
    is_last: bool,
    current: Option<Current>,
    skip_parts: u16,
}

/// The object or upload whose parts are walked.
#[derive(Debug)]
struct Current {
    key: Bytes,
    revision: Revision,
    end: Walked,
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    upload: u64,
    /// Those that count; `None` for all.
    manifest: Option<Manifest>,
    after: u16,
    /// Parts of the manifest that are still to come.
    expected: usize,
    page: VecDeque<Entry>,
    is_last: bool,
}

impl Store {
    /// A walk over all objects, or all uploads in progress, from `position` on.
    pub(crate) fn walk_all(&self, space: WalkSpace, position: &WalkPosition) -> BlobWalk {
        let ranges = match space {
            WalkSpace::Objects => vec![keys::all_objects(), keys::all_versions()],
            WalkSpace::Uploads => vec![keys::all_uploads()],
        };
        self.walk(space, ranges, position)
    }

    /// A walk over the objects of `bucket` whose keys begin with `prefix`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub(crate) async fn walk_prefix(
        &self,
        bucket: &BucketName,
        prefix: &str,
    ) -> Result<BlobWalk, StoreError> {
        let ranges = self.ranges_of_prefix(bucket, prefix).await?;
        Ok(self.walk(WalkSpace::Objects, ranges, &WalkPosition::default()))
    }

    fn walk(
        &self,
        space: WalkSpace,
        ranges: Vec<(Vec<u8>, Vec<u8>)>,
        position: &WalkPosition,
    ) -> BlobWalk {
        let mut walk = BlobWalk {
            store: self.clone(),
            space,
            from: Vec::new(),
            to: Vec::new(),
            ranges,
            page: VecDeque::new(),
            is_last: false,
            current: None,
            skip_parts: 0,
        };
        walk.go_back(position);
        walk
    }

    /// Where the objects under a prefix are, and their further versions.
    async fn ranges_of_prefix(
        &self,
        bucket: &BucketName,
        prefix: &str,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let bucket = self.open_bucket(bucket).await?;
        let mut objects = keys::objects(bucket.id());
        objects.extend_from_slice(prefix.as_bytes());
        let range = |from: Vec<u8>| {
            let to = keys::successor(&from);
            (from, to)
        };
        Ok(vec![
            range(objects),
            range(keys::versions(bucket.id(), prefix)),
        ])
    }

    /// How many objects and further versions there are under a prefix, and how many bytes they have. Reads their records.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub(crate) async fn total_of_prefix(
        &self,
        bucket: &BucketName,
        prefix: &str,
    ) -> Result<PrefixTotal, StoreError> {
        let mut total = PrefixTotal::default();
        for (from, to) in self.ranges_of_prefix(bucket, prefix).await? {
            let mut pages = Pages::new(&*self.inner.meta, from, to, PAGE);
            while let Some(entry) = pages.next().await? {
                let summary = ObjectSummary::decode(&entry.value);
                if summary.is_ok_and(|summary| summary.is_pointer || summary.is_delete_marker) {
                    continue;
                }
                total.objects += 1;
                total.bytes += summary.map_or(0, |summary| summary.size);
            }
        }
        Ok(total)
    }

    /// Whether a blob is still named by the record in which it was found, and that one still counts.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn is_named(&self, blob: &NamedBlob) -> Result<bool, StoreError> {
        Ok(self.is_at(&blob.key, blob.revision).await?
            && self.is_at(&blob.whole_key, blob.whole).await?)
    }

    async fn is_at(&self, key: &[u8], revision: Revision) -> Result<bool, StoreError> {
        let found = self.inner.meta.get(key).await?;
        Ok(found.is_some_and(|found| found.revision == revision))
    }

    /// All buckets: identifier and name.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn bucket_ids(&self) -> Result<HashMap<u64, String>, StoreError> {
        let mut ids = HashMap::new();
        let mut from = vec![keys::BUCKET];
        loop {
            let entries = self
                .inner
                .meta
                .scan(&from, &[keys::BUCKET + 1], PAGE)
                .await?;
            let Some(last) = entries.last() else {
                return Ok(ids);
            };
            from = [&last.key[..], &[0]].concat();
            for entry in &entries {
                let name = String::from_utf8_lossy(&entry.key[1..]).into_owned();
                ids.insert(BucketRecord::decode(&entry.value)?.id, name);
            }
        }
    }

    /// Queues objects and parts for healing of which something is damaged that no record tells.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn queue_damaged_for_healing(&self, keys: &[Bytes]) -> Result<(), StoreError> {
        self.queue_unless(keys, UNTOLD, |queued| queued == UNTOLD)
            .await
    }

    /// Queues objects and parts for healing whose records tell what they lack, and that are not queued yet.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn queue_lacking_for_healing(&self, keys: &[Bytes]) -> Result<(), StoreError> {
        self.queue_unless(keys, &[], |_| true).await
    }

    /// Queues keys unless an entry is there already that suffices.
    async fn queue_unless(
        &self,
        keys: &[Bytes],
        what: &[u8],
        suffices: impl Fn(&[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let mut fresh = BTreeSet::new();
        for key in keys {
            let queued = heal_key(key);
            let found = self.inner.meta.get(&queued).await?;
            if !found.is_some_and(|found| suffices(&found.value)) {
                fresh.insert(queued);
            }
        }
        let fresh: Vec<Bytes> = fresh.into_iter().collect();
        for chunk in fresh.chunks(QUEUE_AT_ONCE) {
            let mut draft = Draft::default();
            for queued in chunk {
                draft.put(queued.clone(), what.to_vec());
            }
            self.try_commit(draft).await?;
        }
        Ok(())
    }
}

impl BlobWalk {
    /// Where the walk would go on after what [`BlobWalk::next`] gave last.
    pub(crate) fn position(&self) -> WalkPosition {
        match (&self.current, self.page.front()) {
            (Some(current), _) => WalkPosition {
                key: current.key.to_vec(),
                part: current.parts.as_ref().map_or(0, |parts| parts.after),
            },
            (None, Some(entry)) => WalkPosition {
                key: entry.key.to_vec(),
                part: 0,
            },
            (None, None) => WalkPosition {
                key: self.from.clone(),
                part: 0,
            },
        }
    }

    /// Goes on at an earlier position.
    pub(crate) fn go_back(&mut self, position: &WalkPosition) {
        let range = self.ranges.iter().find(|(_, to)| position.key < *to);
        let (from, to) = range.or(self.ranges.last()).cloned().unwrap_or_default();
        self.from = from.max(position.key.clone());
        self.to = to;
        self.skip_parts = position.part;
        self.page.clear();
        self.current = None;
        self.is_last = false;
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn next(&mut self) -> Result<Option<Walked>, StoreError> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(parts) = &mut current.parts
                    && let Some(walked) = parts
                        .next(&self.store, &current.key, current.revision)
                        .await?
                {
                    return Ok(Some(walked));
                }
                return Ok(self.current.take().map(|current| current.end));
            }
            while self.page.is_empty() && !self.is_last {
                self.fetch().await?;
            }
            let Some(entry) = self.page.pop_front() else {
                return Ok(None);
            };
            let skip = std::mem::take(&mut self.skip_parts);
            if let Some(walked) = self.enter(entry, skip) {
                return Ok(Some(walked));
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        let entries = self
            .store
            .inner
            .meta
            .scan(&self.from, &self.to, PAGE)
            .await?;
        let is_through = entries.len() < PAGE;
        if let Some(last) = entries.last() {
            self.from = [&last.key[..], &[0]].concat();
        }
        if is_through {
            let next = self
                .ranges
                .iter()
                .find(|(from, _)| *from >= self.to)
                .cloned();
            self.is_last = next.is_none();
            if let Some((from, to)) = next {
                (self.from, self.to) = (from, to);
            }
        }
        self.page = entries.into();
        Ok(())
    }

    /// Begins an object or upload; gives its blob if it is one.
    fn enter(&mut self, entry: Entry, skip: u16) -> Option<Walked> {
        let key = entry.key.clone();
        let entered = match self.space {
            WalkSpace::Objects => self.enter_object(entry, skip),
            WalkSpace::Uploads => self.enter_upload(&entry, skip),
        };
        entered.unwrap_or_else(|error| {
            Some(Walked::Unknown {
                name: Some(name_of(&key)),
                key,
                error: error.to_string(),
            })
        })
    }

    fn enter_object(&mut self, entry: Entry, skip: u16) -> Result<Option<Walked>, RecordError> {
        let (bucket, name) = keys::parse_named(&entry.key).ok_or(RecordError::BadKey)?;
        let record = ObjectRecord::decode(&entry.value)?;
        let end = Walked::End {
            bucket,
            name,
            size: record.size,
        };
        let (blob, parts) = match record.body {
            // Its bytes are met where they are.
            Body::Elsewhere(_) => return Ok(None),
            Body::Empty if record.is_delete_marker => return Ok(None),
            Body::Empty => (None, None),
            Body::Blob(placement) => (Some(placement), None),
            Body::Parts(manifest) => {
                let upload = manifest.upload.number;
                (None, Some(Parts::new(upload, Some(manifest), skip)))
            }
        };
        self.current = Some(Current {
            key: entry.key.clone(),
            revision: entry.revision,
            end,
            parts,
        });
        Ok(blob.map(|placement| {
            Walked::Blob(NamedBlob {
                whole_key: entry.key.clone(),
                whole: entry.revision,
                key: entry.key,
                revision: entry.revision,
                placement,
            })
        }))
    }

    fn enter_upload(&mut self, entry: &Entry, skip: u16) -> Result<Option<Walked>, RecordError> {
        let (bucket, name, id) = keys::parse_upload(&entry.key).ok_or(RecordError::BadKey)?;
        self.current = Some(Current {
            key: entry.key.clone(),
            revision: entry.revision,
            end: Walked::End {
                bucket,
                name,
                size: 0,
            },
            parts: Some(Parts::new(id.number, None, skip)),
        });
        Ok(None)
    }
}

/// The object's key in an `o` or `u` key, for people.
fn name_of(key: &[u8]) -> String {
    let name = keys::parse_named(key).map(|(_, name)| name);
    let name = name.or_else(|| keys::parse_upload(key).map(|(_, name, _)| name));
    name.unwrap_or_else(|| String::from_utf8_lossy(key).into_owned())
}

impl Parts {
    fn new(upload: u64, manifest: Option<Manifest>, after: u16) -> Self {
        let to_come = |manifest: &Manifest| {
            let numbers = manifest.parts().map(|(number, _)| number.get());
            numbers.filter(|number| *number > after).count()
        };
        Self {
            upload,
            expected: manifest.as_ref().map_or(0, to_come),
            manifest,
            after,
            page: VecDeque::new(),
            is_last: false,
        }
    }

    async fn next(
        &mut self,
        store: &Store,
        whole: &Bytes,
        revision: Revision,
    ) -> Result<Option<Walked>, StoreError> {
        loop {
            if self.page.is_empty() && !self.is_last {
                let (from, to) = keys::parts(self.upload, self.after);
                let entries = store.inner.meta.scan(&from, &to, PAGE).await?;
                self.is_last = entries.len() < PAGE;
                self.page = entries.into();
            }
            let Some(entry) = self.page.pop_front() else {
                let missing = std::mem::take(&mut self.expected);
                return Ok((missing > 0).then(|| Walked::Unknown {
                    key: whole.clone(),
                    name: None,
                    error: format!("{missing} of its parts have no record"),
                }));
            };
            if let Some(number) = keys::parse_part(&entry.key) {
                self.after = number.get();
                match &self.manifest {
                    Some(manifest) if !manifest.contains(number) => continue,
                    Some(_) => self.expected = self.expected.saturating_sub(1),
                    None => {}
                }
            }
            match PartRecord::decode(&entry.value) {
                Ok(PartRecord {
                    placement: Some(placement),
                    ..
                }) => {
                    return Ok(Some(Walked::Blob(NamedBlob {
                        whole_key: whole.clone(),
                        whole: revision,
                        key: entry.key,
                        revision: entry.revision,
                        placement,
                    })));
                }
                Ok(_) => {}
                Err(error) => {
                    return Ok(Some(Walked::Unknown {
                        key: entry.key,
                        name: None,
                        error: error.to_string(),
                    }));
                }
            }
        }
    }
}
