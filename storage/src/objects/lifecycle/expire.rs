//! Finding what is due in a bucket, and taking it away, a step at a time.

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};

use super::{Ruled, Subject};
use crate::{
    meta::{Entry, Revision},
    objects::{
        BucketName, DocumentKind, Governance, ObjectKey, Store, StoreError, UploadId, VersionId,
        Versioning,
        commit::Draft,
        keys,
        object::FoundObject,
        outbox::{Fact, Happened},
        pages::Pages,
        record::{
            Body, BucketRecord, DocumentPlace, GarbageRecord, ObjectRecord, RecordError,
            UploadRecord,
        },
        versions::{Drafted, FoundVersion, Head, delete_marker},
    },
    upkeep::Pace,
};

/// Objects or uploads looked at in one step.
const PAGE: usize = 1000;
/// What is taken away in one commit: each takes at most six of its keys, or preconditions.
const BATCH: usize = 10;
/// The same where each may take an event as well.
const BATCH_WITH_EVENTS: usize = 8;
/// Commits under way at once while nobody is served.
const COMMITS_AT_ONCE: usize = 8;
/// How much is gathered before it is taken away.
const GATHERED: usize = 2 * COMMITS_AT_ONCE * BATCH;
/// Objects that are looked at between two rests.
const RESTS_AFTER: usize = 100;

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Objects, or uploads, that were looked at.
    pub(crate) looked_at: u64,
    /// Current versions that are gone, or hidden by a delete marker now.
    pub(crate) objects: u64,
    /// Noncurrent versions that are gone.
    pub(crate) versions: u64,
    /// Delete markers that are gone because they hid nothing.
    pub(crate) markers: u64,
    /// Uploads given up.
    pub(crate) uploads: u64,
    /// What was due but is locked.
    pub(crate) locked: u64,
    /// What somebody changed at the same moment: it is looked at again in the next pass.
    pub(crate) lost: u64,
}

/// How far a pass has come in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Objects come next whose keys sort after this.
    Objects(String),
    /// Uploads come next whose metadata keys sort after this.
    Uploads(Bytes),
}

impl Default for Place {
    fn default() -> Self {
        Self::Objects(String::new())
    }
}

/// What is to be taken away.
#[derive(Clone, Debug)]
struct Due {
    key: ObjectKey,
    /// What the key of the object was at.
    head: Revision,
    /// A record that was looked at, too.
    row: Option<(Bytes, Revision)>,
    what: DueKind,
}

/// A step under way.
struct Round<'a> {
    done: Expired,
    due: Vec<Due>,
    pace: &'a Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DueKind {
    Current,
    Noncurrent(VersionId),
    Marker(VersionId),
}

impl Expired {
    fn count(&mut self, what: DueKind) {
        match what {
            DueKind::Current => self.objects += 1,
            DueKind::Noncurrent(_) => self.versions += 1,
            DueKind::Marker(_) => self.markers += 1,
        }
    }

    /// Adds what another step did.
    pub(crate) fn add(&mut self, other: Self) {
        self.looked_at += other.looked_at;
        self.objects += other.objects;
        self.versions += other.versions;
        self.markers += other.markers;
        self.uploads += other.uploads;
        self.locked += other.locked;
        self.lost += other.lost;
    }
}

impl Store {
    /// Looks at the next objects or uploads of a bucket and takes away what is due, resting as `pace` says. Says what comes next; `None`:
    /// nothing, or the bucket is gone, or has no rules.
    ///
    /// # Errors
    /// Those of the metadata engine. What was taken away stays so.
    pub(crate) async fn expire_step(
        &self,
        name: &BucketName,
        at: &Place,
        pace: &Pace,
    ) -> Result<(Expired, Option<Place>), StoreError> {
        let ruled = match self.ruled(name).await {
            Ok(Some(ruled)) => ruled,
            Ok(None) | Err(StoreError::NoSuchBucket) => return Ok((Expired::default(), None)),
            Err(error) => return Err(error),
        };
        match at {
            Place::Objects(after) if ruled.lifecycle.is_about_objects() => {
                self.expire_objects(&ruled, after, pace).await
            }
            Place::Objects(_) => Ok((Expired::default(), Some(Place::Uploads(Bytes::new())))),
            Place::Uploads(after) if ruled.lifecycle.is_about_uploads() => {
                self.expire_uploads(&ruled, after, pace).await
            }
            Place::Uploads(_) => Ok((Expired::default(), None)),
        }
    }

    async fn expire_objects(
        &self,
        ruled: &Ruled,
        after: &str,
        pace: &Pace,
    ) -> Result<(Expired, Option<Place>), StoreError> {
        let base = keys::objects(ruled.bucket.id());
        let common = [&base[..], ruled.lifecycle.common_prefix().as_bytes()].concat();
        let to = keys::successor(&common);
        let from = match after {
            "" => common,
            after => common.max([&base[..], after.as_bytes(), &[0]].concat()),
        };
        let began = pace.begin();
        let entries = self.inner.meta.scan(&from, &to, PAGE).await?;
        pace.rest_since(began, 0).await;
        let mut round = Round {
            done: Expired::default(),
            due: Vec::new(),
            pace,
        };
        for entries in entries.chunks(RESTS_AFTER) {
            let began = pace.begin();
            for entry in entries {
                self.look_at(ruled, entry, &mut round).await?;
            }
            pace.rest_since(began, 0).await;
            if round.due.len() >= GATHERED {
                self.take_away(ruled, &mut round).await?;
            }
        }
        self.take_away(ruled, &mut round).await?;
        let done = round.done;
        let last = entries.last().filter(|_| entries.len() == PAGE);
        let next = match last {
            None => Place::Uploads(Bytes::new()),
            Some(last) => {
                let (_, name) = keys::parse_object(&last.key).ok_or(RecordError::BadKey)?;
                Place::Objects(name)
            }
        };
        Ok((done, Some(next)))
    }

    /// The first bucket after `name` that has rules.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(crate) async fn ruled_bucket_after(
        &self,
        name: &str,
    ) -> Result<Option<BucketName>, StoreError> {
        let all = keys::bucket_prefix("");
        let from = match name {
            "" => all.to_vec(),
            name => [&keys::bucket_prefix(name)[..], &[0]].concat(),
        };
        let mut pages = Pages::new(&*self.inner.meta, from, keys::successor(&all), 100);
        while let Some(entry) = pages.next().await? {
            let Ok(record) = BucketRecord::decode(&entry.value) else {
                continue;
            };
            let has_rules = |place: &DocumentPlace| place.kind == DocumentKind::Lifecycle;
            if record.documents.iter().any(has_rules) {
                let name = entry
                    .key
                    .get(1..)
                    .and_then(|name| std::str::from_utf8(name).ok());
                let name = name.and_then(|name| BucketName::parse(name).ok());
                return Ok(Some(name.ok_or(RecordError::BadKey)?));
            }
        }
        Ok(None)
    }

    /// Adds what is due of one object.
    async fn look_at(
        &self,
        ruled: &Ruled,
        entry: &Entry,
        round: &mut Round<'_>,
    ) -> Result<(), StoreError> {
        round.done.looked_at += 1;
        let (_, name) = keys::parse_object(&entry.key).ok_or(RecordError::BadKey)?;
        let key = ObjectKey::parse(&name).map_err(|_| RecordError::BadKey)?;
        // What this release can't read is none of its business.
        let Ok(record) = ObjectRecord::decode(&entry.value) else {
            return Ok(());
        };
        let object = Object {
            key: &key,
            head: entry.revision,
            keeps_null: false,
        };
        let Body::Elsewhere(latest) = record.body else {
            if ruled.expires(&key, &record) {
                match self.check_expirable(ruled, &record) {
                    Ok(()) => round.due.push(object.due(DueKind::Current, None)),
                    Err(_) => round.done.locked += 1,
                }
            }
            return Ok(());
        };
        let is_marker = record.is_delete_marker;
        let current = if is_marker {
            None
        } else {
            self.due_latest(ruled, &object, record, latest).await?
        };
        if is_marker || ruled.lifecycle.is_about_noncurrent() {
            let object = Object {
                // A delete marker that is a null version takes the place of the one that there is.
                keeps_null: current.is_some() && ruled.bucket.versioning() != Versioning::Enabled,
                ..object
            };
            let looked = self.look_at_versions(ruled, &object, latest, round);
            match looked.await {
                Ok(()) => {}
                // A version that can't be read may be what a delete marker hides: all stays.
                Err(StoreError::Record(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        round.due.extend(current);
        Ok(())
    }

    /// A delete marker may hide what is locked; that it goes for good, it may not.
    fn check_expirable(&self, ruled: &Ruled, record: &ObjectRecord) -> Result<(), StoreError> {
        if ruled.bucket.versioning() != Versioning::Off {
            return Ok(());
        }
        self.check_removable(record, Governance::Heeded)
    }

    /// The latest version of an object, which is no delete marker, if it is due. `record` is what its key says of it.
    async fn due_latest(
        &self,
        ruled: &Ruled,
        object: &Object<'_>,
        mut record: ObjectRecord,
        latest: VersionId,
    ) -> Result<Option<Due>, StoreError> {
        let mut row = None;
        if ruled.lifecycle.looks_at_tags() {
            let found = self.find_row(&ruled.bucket, object.key, latest).await?;
            let Some(FoundVersion { row: at, found, .. }) = found else {
                return Ok(None); // Gone since the key was read.
            };
            record.tags = found.record.tags;
            row = Some((at, found.revision));
        }
        let is_due = ruled.expires(object.key, &record);
        Ok(is_due.then(|| object.due(DueKind::Current, row)))
    }

    /// Adds those noncurrent versions of an object that are due, or the delete marker that is all that is left of it.
    async fn look_at_versions(
        &self,
        ruled: &Ruled,
        object: &Object<'_>,
        latest: VersionId,
        round: &mut Round<'_>,
    ) -> Result<(), StoreError> {
        let mut versions = Versions::begin(self, ruled, object.key).await?;
        let Some(first) = versions.next().await?.filter(|first| first.id == latest) else {
            return Ok(()); // Changed since the key was read.
        };
        let mut since = first.record.modified_unix_millis;
        let (mut newer, first_is_marker) = (0, first.record.is_delete_marker);
        while let Some(version) = versions.next().await? {
            if !ruled.lifecycle.is_about_noncurrent() {
                return Ok(());
            }
            let subject = subject(object.key, &version.record);
            let (lifecycle, calendar) = (&ruled.lifecycle, ruled.calendar);
            let stays = object.keeps_null && version.id == VersionId::Null;
            if !stays && lifecycle.takes_noncurrent(calendar, &subject, (since, newer), ruled.now) {
                match self.check_removable(&version.record, Governance::Heeded) {
                    Ok(()) => {
                        let due = version.due(object, DueKind::Noncurrent(version.id));
                        round.due.push(due);
                    }
                    Err(_) => round.done.locked += 1,
                }
                if round.due.len() >= GATHERED {
                    self.take_away(ruled, round).await?;
                }
            }
            since = version.record.modified_unix_millis;
            newer += 1;
        }
        let modified = first.record.modified_unix_millis;
        let key = object.key.as_str();
        if newer == 0
            && first_is_marker
            && ruled
                .lifecycle
                .takes_marker(ruled.calendar, key, modified, ruled.now)
        {
            round.due.push(first.due(object, DueKind::Marker(latest)));
        }
        Ok(())
    }

    /// Takes away what was gathered: a commit at a time while clients are served, several that share their syncs otherwise.
    async fn take_away(&self, ruled: &Ruled, round: &mut Round<'_>) -> Result<(), StoreError> {
        let gathered = std::mem::take(&mut round.due);
        let mut rest = &gathered[..];
        while !rest.is_empty() {
            let serves = round.pace.serves_clients();
            let at_once = if serves { 1 } else { COMMITS_AT_ONCE };
            let batch = ruled.batch();
            let (now, later) = rest.split_at(rest.len().min(batch * at_once));
            let began = round.pace.begin();
            let batches = now.chunks(batch);
            let batches = batches.map(|batch| self.take_batch(ruled, batch).boxed());
            for done in join_all(batches).await {
                round.done.add(done?);
            }
            round.pace.rest_since(began, 0).await;
            rest = later;
        }
        Ok(())
    }

    /// Takes a batch away in one commit; where somebody was quicker with one of it, each for itself.
    async fn take_batch(&self, ruled: &Ruled, batch: &[Due]) -> Result<Expired, StoreError> {
        let mut done = Expired::default();
        let (mut draft, mut drafted, mut alone) = (Draft::default(), Vec::new(), Vec::new());
        for due in batch {
            let head = self.find_head(&ruled.bucket, &due.key).await?;
            if head.revision() != Some(due.head) {
                done.lost += 1;
            } else if moves_a_blob(ruled, due, &head) {
                alone.push(due);
            } else if self.draft_due(&mut draft, ruled, due, head).await? {
                drafted.push(due);
            } else {
                done.locked += 1;
            }
        }
        if !drafted.is_empty() && !self.commit_due(ruled, draft).await? {
            alone.append(&mut drafted);
        }
        for due in drafted {
            done.count(due.what);
        }
        for due in alone {
            done.add(self.take_one(ruled, due).await?);
        }
        Ok(done)
    }

    async fn take_one(&self, ruled: &Ruled, due: &Due) -> Result<Expired, StoreError> {
        let mut done = Expired::default();
        let mut draft = Draft::default();
        let head = self.find_head(&ruled.bucket, &due.key).await?;
        if head.revision() != Some(due.head) {
            done.lost += 1;
        } else if !self.draft_due(&mut draft, ruled, due, head).await? {
            done.locked += 1;
        } else if self.commit_due(ruled, draft).await? {
            done.count(due.what);
        } else {
            done.lost += 1;
        }
        Ok(done)
    }

    /// Commits if the bucket, and with it its rules, is as it was.
    async fn commit_due(&self, ruled: &Ruled, mut draft: Draft) -> Result<bool, StoreError> {
        draft.expect_bucket(&ruled.bucket);
        Ok(self.try_commit(draft).await?.is_some())
    }

    /// Adds what is due to a draft; false: it is locked, or gone already.
    async fn draft_due(
        &self,
        draft: &mut Draft,
        ruled: &Ruled,
        due: &Due,
        head: Head,
    ) -> Result<bool, StoreError> {
        let (bucket, key) = (&ruled.bucket, &due.key);
        let teller = self.teller(bucket).await?;
        if let Some((row, revision)) = &due.row {
            draft.expect(row.clone(), Some(*revision));
        }
        let id = match due.what {
            DueKind::Noncurrent(id) | DueKind::Marker(id) => id,
            DueKind::Current if bucket.versioning() == Versioning::Off => VersionId::Null,
            DueKind::Current => {
                let mut marker = delete_marker(self.now());
                let what = (&mut marker, None);
                let drafted = self.draft_latest(draft, bucket, key, what, head).await?;
                let Drafted::Ready(version) = drafted else {
                    return Ok(false);
                };
                let fact = Fact::of(Happened::MarkerByRule, version, &marker);
                teller.tell(draft, self, bucket, key, fact);
                return Ok(true);
            }
        };
        let what = (id, Governance::Heeded);
        match self.draft_removal(draft, bucket, key, what, head).await {
            Ok(Some(removed)) => {
                let fact = Fact::now(Happened::Expired, removed.version, self.now());
                teller.tell(draft, self, bucket, key, fact);
                Ok(true)
            }
            Ok(None) | Err(StoreError::Locked) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn expire_uploads(
        &self,
        ruled: &Ruled,
        after: &Bytes,
        pace: &Pace,
    ) -> Result<(Expired, Option<Place>), StoreError> {
        let start = keys::uploads(ruled.bucket.id(), "");
        let to = keys::successor(&start);
        let from = start.max([&after[..], &[0]].concat());
        let entries = self.inner.meta.scan(&from, &to, PAGE).await?;
        let mut done = Expired {
            looked_at: entries.len() as u64,
            ..Expired::default()
        };
        let mut due = Vec::new();
        for entry in &entries {
            due.extend(ruled.due_upload(entry)?.map(|id| (entry, id)));
        }
        for batch in due.chunks(BATCH) {
            let began = pace.begin();
            let mut draft = Draft::default();
            for (entry, id) in batch {
                draft.delete(entry.key.clone());
                draft.expect(entry.key.clone(), Some(entry.revision));
                self.discard(&mut draft, &GarbageRecord::parts_of(id));
            }
            if self.commit_due(ruled, draft).await? {
                done.uploads += batch.len() as u64;
            } else {
                done.lost += batch.len() as u64;
            }
            pace.rest_since(began, 0).await;
        }
        let last = entries.last().filter(|_| entries.len() == PAGE);
        Ok((done, last.map(|last| Place::Uploads(last.key.clone()))))
    }
}

/// Where an object gets a delete marker that stands under its own key until then, its blob may have to travel with the commit, which
/// carries one.
fn moves_a_blob(ruled: &Ruled, due: &Due, head: &Head) -> bool {
    due.what == DueKind::Current
        && matches!(head, Head::Plain(_))
        && ruled.bucket.versioning() != Versioning::Off
}

fn subject<'a>(key: &'a ObjectKey, record: &'a ObjectRecord) -> Subject<'a> {
    Subject {
        key: key.as_str(),
        size: record.size,
        tags: &record.tags.0,
    }
}

impl Ruled {
    /// How much goes into one commit.
    fn batch(&self) -> usize {
        if self.bucket.tells() {
            BATCH_WITH_EVENTS
        } else {
            BATCH
        }
    }

    /// Whether a current version is due.
    fn expires(&self, key: &ObjectKey, record: &ObjectRecord) -> bool {
        let modified = record.modified_unix_millis;
        let subject = subject(key, record);
        let expiry = self.lifecycle.expiry(self.calendar, &subject, modified);
        expiry.is_some_and(|(when, _)| when <= self.now)
    }

    /// The identifier of an upload that is due.
    fn due_upload(&self, entry: &Entry) -> Result<Option<UploadId>, RecordError> {
        let (_, key, id) = keys::parse_upload(&entry.key).ok_or(RecordError::BadKey)?;
        let Ok(upload) = UploadRecord::decode(&entry.value) else {
            return Ok(None);
        };
        let initiated = upload.initiated_unix_millis;
        let expiry = self
            .lifecycle
            .upload_expiry(self.calendar, &key, initiated)
            .filter(|(when, _)| *when <= self.now);
        Ok(expiry.map(|_| id))
    }
}

/// An object that is looked at.
struct Object<'a> {
    key: &'a ObjectKey,
    head: Revision,
    /// Its null version is none of the rules' for noncurrent ones.
    keeps_null: bool,
}

impl Object<'_> {
    fn due(&self, what: DueKind, row: Option<(Bytes, Revision)>) -> Due {
        Due {
            key: self.key.clone(),
            head: self.head,
            row,
            what,
        }
    }
}

/// A version that is looked at.
struct Version {
    id: VersionId,
    row: Bytes,
    revision: Revision,
    record: ObjectRecord,
}

impl Version {
    fn due(&self, object: &Object<'_>, what: DueKind) -> Due {
        object.due(what, Some((self.row.clone(), self.revision)))
    }

    fn number(&self) -> u64 {
        self.record.version.unwrap_or(0)
    }
}

/// The versions of an object, the newest first.
struct Versions<'a> {
    numbered: Pages<'a>,
    null: Option<Version>,
    ahead: Option<Version>,
}

impl<'a> Versions<'a> {
    async fn begin(store: &'a Store, ruled: &Ruled, key: &ObjectKey) -> Result<Self, StoreError> {
        let null = store.find_row(&ruled.bucket, key, VersionId::Null).await?;
        let null = null.map(|FoundVersion { row, found, .. }| {
            let FoundObject { revision, record } = found;
            Version {
                id: VersionId::Null,
                row,
                revision,
                record,
            }
        });
        let (from, to) = keys::versions_below(ruled.bucket.id(), key.as_str(), u64::MAX);
        Ok(Self {
            numbered: Pages::new(&*store.inner.meta, from, to, 10),
            null,
            ahead: None,
        })
    }

    /// The next one; an error where it can't be read.
    async fn next(&mut self) -> Result<Option<Version>, StoreError> {
        if self.ahead.is_none() {
            self.ahead = self.next_numbered().await?;
        }
        let ahead = self.ahead.as_ref().map(Version::number);
        let is_null = |null: &mut Version| ahead.is_none_or(|ahead| ahead < null.number());
        if let Some(null) = self.null.take_if(is_null) {
            return Ok(Some(null));
        }
        Ok(self.ahead.take())
    }

    async fn next_numbered(&mut self) -> Result<Option<Version>, StoreError> {
        let Some(entry) = self.numbered.next().await? else {
            return Ok(None);
        };
        let (_, _, id) = keys::parse_version(&entry.key).ok_or(RecordError::BadKey)?;
        Ok(Some(Version {
            id,
            row: entry.key,
            revision: entry.revision,
            record: ObjectRecord::decode(&entry.value)?,
        }))
    }
}
