//! What clients do: one operation after the other, each entered in the history before it begins and after it ends.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

use larder_erasure::Profile;
use larder_storage::{
    objects::{
        BucketName, CompletePart, CompleteUpload, CreateBucket, CreateUpload, DATA_KEY_BYTES,
        DataKey, DeleteItem, ETag, FinishedBody, Governance, Headers, ListObjects, ListedEntry,
        ObjectAcl, ObjectHandle, ObjectKey, ObjectLock, PartNumber, PutObject, PutPart, Sealing,
        Store, StoreError, Tags, Tally, UploadId, WriteConditions,
    },
    rng::{Rng, SeededRng},
};

use crate::{
    content::{Body, etag, etag_of_parts},
    history::{Answer, Condition, History, Operation, OperationId, State, Version},
    tasks::{chance, draw, pause},
};

/// The bucket of the world.
pub const BUCKET: &str = "bucket";
/// Its keys: neighbours, prefixes of each other, odd ones.
pub const KEYS: [&str; 10] = [
    "a", "a/", "a//b", "a/b", "b", "b/c/d", "wal/0001", "wal/0002", "ä", "z\u{1}",
];
/// Writes of unknown outcome on one key after which clients leave it alone until the next recovery: each doubles what must be kept in mind.
const MAX_UNKNOWN: u32 = 3;
/// How often a reader starts over whose object was replaced under it.
const MAX_REPLACED: u32 = 50;

type Tag = ([u8; 16], u16);

/// What the clients of all lives share.
#[derive(Debug)]
pub struct Shared {
    /// What was asked and answered.
    pub history: RefCell<History>,
    /// Bodies by entity tag.
    bodies: RefCell<BTreeMap<Tag, Rc<[Body]>>>,
    unknown: RefCell<BTreeMap<String, u32>>,
    /// The first broken promise.
    failure: RefCell<Option<String>>,
    /// Set when clients are to end after the operation that they are at.
    pub stop: Cell<bool>,
    next_body: Cell<u64>,
    seed: u64,
}

/// A client of one life.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Rc<Shared>,
    store: Store,
    rng: Arc<SeededRng>,
}

/// How a write ended.
enum Outcome {
    Done,
    Answer(Answer),
    /// Certainly without effect.
    Refused(String),
    Unknown(String),
    Bug(String),
}

impl Shared {
    /// For a run of this seed.
    pub fn new(seed: u64) -> Rc<Self> {
        Rc::new(Self {
            history: RefCell::new(History::new(KEYS)),
            bodies: RefCell::default(),
            unknown: RefCell::default(),
            failure: RefCell::default(),
            stop: Cell::new(false),
            next_body: Cell::new(0),
            seed,
        })
    }

    /// A promise is broken. The first one counts.
    pub fn fail(&self, what: impl Into<String>) {
        self.failure.borrow_mut().get_or_insert(what.into());
    }

    /// The first broken promise.
    ///
    /// # Errors
    /// It.
    pub fn check(&self) -> Result<(), String> {
        match &*self.failure.borrow() {
            Some(what) => Err(what.clone()),
            None => Ok(()),
        }
    }

    /// A new life begins: nothing is unknown any more once every key was looked at.
    pub fn new_life(&self) {
        self.stop.set(false);
        self.unknown.borrow_mut().clear();
    }

    fn new_body(&self) -> Body {
        let count = self.next_body.get() + 1;
        self.next_body.set(count);
        let number = SeededRng::new(self.seed ^ (count << 20)).next_u64();
        Body { number }
    }

    fn remember(&self, version: &Version) {
        self.bodies
            .borrow_mut()
            .insert(version.etag, Rc::clone(&version.bodies));
    }

    fn begin(&self, key: &str, operation: Operation) -> OperationId {
        if let Operation::Put(version, _) = &operation {
            self.remember(version);
        }
        self.history.borrow_mut().begin(key, operation)
    }

    fn end(&self, key: &str, id: OperationId, answer: &Answer) {
        if let Err(error) = self.history.borrow_mut().end(key, id, answer) {
            self.fail(error);
        }
    }

    fn conclude(&self, key: &str, id: OperationId, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.end(key, id, &Answer::Done),
            Outcome::Answer(answer) => self.end(key, id, &answer),
            Outcome::Refused(why) => self.history.borrow_mut().cancel(key, id, &why),
            Outcome::Unknown(why) => {
                *self.unknown.borrow_mut().entry(key.to_owned()).or_default() += 1;
                self.history.borrow_mut().unknown(key, id, &why);
            }
            Outcome::Bug(what) => self.fail(format!("key {key:?}: {what}")),
        }
    }

    fn is_too_uncertain(&self, key: &str) -> bool {
        self.unknown
            .borrow()
            .get(key)
            .is_some_and(|count| *count >= MAX_UNKNOWN)
    }
}

impl Client {
    /// A client with randomness of its own.
    pub fn new(shared: &Rc<Shared>, store: &Store, rng: SeededRng) -> Self {
        Self {
            shared: Rc::clone(shared),
            store: store.clone(),
            rng: Arc::new(rng),
        }
    }

    /// Works until told to stop.
    pub async fn run(self) {
        while !self.shared.stop.get() {
            self.act().await;
            pause().await;
        }
    }

    /// Creates the bucket, if it is not there, with this profile.
    ///
    /// # Errors
    /// The store's.
    pub async fn create_bucket(&self, profile: Option<Profile>) -> Result<(), StoreError> {
        let request = CreateBucket {
            region: "here".into(),
            profile,
            ..CreateBucket::new(bucket()?)
        };
        match self.store.create_bucket(request).await {
            Ok(_) | Err(StoreError::BucketExists) => Ok(()),
            // Disks have gone before there was a bucket.
            Err(StoreError::UnsuitableProfile(_)) => Box::pin(self.create_bucket(None)).await,
            Err(error) => Err(error),
        }
    }

    async fn act(&self) {
        let key = KEYS[draw(&*self.rng, KEYS.len())];
        let kind = self.rng.next_u64() % 100;
        if (kind < 55 || (75..93).contains(&kind)) && self.shared.is_too_uncertain(key) {
            self.get(key).await;
            return;
        }
        match kind {
            0..45 => self.put(key, self.shared.new_body()).await,
            45..55 => self.delete(key).await,
            55..70 => drop(self.get(key).await),
            70..75 => self.list().await,
            75..80 => self.set_tags(key).await,
            80..85 => self.copy(key).await,
            85..90 => self.upload(key).await,
            90..93 => self.delete_several().await,
            _ => self.read_range(key).await,
        }
    }

    async fn condition(&self, key: &str) -> Condition {
        match self.rng.next_u64() % 100 {
            0..70 => Condition::Always,
            70..85 => Condition::Absent,
            _ => match self.look(key).await {
                Ok(Some(handle)) => Condition::Tag(handle.info().etag),
                _ => Condition::Always,
            },
        }
    }

    async fn put(&self, key: &'static str, body: Body) {
        let bytes = body.bytes();
        let version = Version::new(etag(&bytes), &[body]);
        let condition = self.condition(key).await;
        let id = self
            .shared
            .begin(key, Operation::Put(version.clone(), condition.clone()));
        let outcome = match self.blob(&[body], self.sealing()).await {
            Err(error) => before_commit(&error),
            Ok(blob) => after_commit(self.put_blob(key, blob, version.etag(), condition).await),
        };
        self.shared.conclude(key, id, outcome);
    }

    /// Some objects are encrypted: what replaces them may not be.
    fn sealing(&self) -> Option<Sealing> {
        chance(&*self.rng, 30).then(|| Sealing::of_object(data_key(), Vec::new()))
    }

    async fn put_blob(
        &self,
        key: &str,
        blob: FinishedBody,
        etag: ETag,
        condition: Condition,
    ) -> Result<(), StoreError> {
        let request = PutObject {
            bucket: bucket()?,
            key: object_key(key)?,
            blob,
            etag,
            checksum: None,
            headers: Headers::default(),
            tags: Tags::default(),
            conditions: conditions(&condition),
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        self.store.put_object(request).await.map(drop)
    }

    /// Writes the bodies one after the other, in pieces as a network would bring them.
    async fn blob(
        &self,
        bodies: &[Body],
        sealing: Option<Sealing>,
    ) -> Result<FinishedBody, StoreError> {
        let size: usize = bodies.iter().map(|body| body.size()).sum();
        let announced = chance(&*self.rng, 80).then_some(size as u64);
        let bucket = bucket()?;
        let mut writer = match sealing {
            Some(sealing) => {
                let writer = self.store.sealed_blob_writer(&bucket, announced, sealing);
                writer.await?
            }
            None => self.store.blob_writer(&bucket, announced).await?,
        };
        for body in bodies {
            let mut bytes = body.bytes();
            while !bytes.is_empty() {
                let piece = (1 + draw(&*self.rng, 70_000)).min(bytes.len());
                writer.write(bytes.split_to(piece)).await?;
                if chance(&*self.rng, 30) {
                    pause().await;
                }
            }
        }
        writer.finish().await
    }

    async fn delete(&self, key: &'static str) {
        let condition = match self.condition(key).await {
            Condition::Absent => Condition::Always,
            other => other,
        };
        let id = self.shared.begin(key, Operation::Delete(condition.clone()));
        let outcome = async {
            let conditions = conditions(&condition);
            self.store
                .delete_object(&bucket()?, &object_key(key)?, conditions)
                .await
                .map(drop)
        };
        self.shared.conclude(key, id, after_commit(outcome.await));
    }

    async fn delete_several(&self) {
        let count = 1 + draw(&*self.rng, 4);
        let from = draw(&*self.rng, KEYS.len() - count);
        let certain = |key: &&'static str| !self.shared.is_too_uncertain(key);
        let keys: Vec<_> = KEYS[from..from + count]
            .iter()
            .copied()
            .filter(certain)
            .collect();
        let enter = |key: &&'static str| {
            let operation = Operation::Delete(Condition::Always);
            (*key, self.shared.begin(key, operation))
        };
        let begun: Vec<_> = keys.iter().map(enter).collect();
        let results = async {
            let item = |key: &&str| {
                Ok(DeleteItem {
                    version: None,
                    key: object_key(key)?,
                    if_match: None,
                })
            };
            let items = keys
                .iter()
                .map(item)
                .collect::<Result<Vec<_>, StoreError>>()?;
            self.store
                .delete_objects(&bucket()?, items, Governance::Heeded)
                .await
        };
        match results.await {
            Ok(results) => {
                for ((key, id), result) in begun.into_iter().zip(results) {
                    self.shared
                        .conclude(key, id, after_commit(result.map(drop)));
                }
            }
            Err(error) => {
                for (key, id) in begun {
                    let outcome = after_commit(Err(error.clone()));
                    self.shared.conclude(key, id, outcome);
                }
            }
        }
    }

    async fn set_tags(&self, key: &'static str) {
        let number = u32::try_from(self.rng.next_u64() % 1000).unwrap_or(0) + 1;
        let id = self.shared.begin(key, Operation::SetTags(number));
        let tags = Tags(vec![("number".to_owned(), number.to_string())]);
        let result = async {
            self.store
                .set_tags(&bucket()?, &object_key(key)?, tags)
                .await
        }
        .await;
        self.shared.conclude(key, id, after_commit(result));
    }

    async fn copy(&self, to: &'static str) {
        let from = KEYS[draw(&*self.rng, KEYS.len())];
        let Some(source) = self.get(from).await else {
            return;
        };
        let version = Version::new(source.etag(), &source.bodies);
        let id = self
            .shared
            .begin(to, Operation::Put(version.clone(), Condition::Always));
        let outcome = match self.blob(&version.bodies, self.sealing()).await {
            Err(error) => before_commit(&error),
            Ok(blob) => after_commit(
                self.put_blob(to, blob, version.etag(), Condition::Always)
                    .await,
            ),
        };
        self.shared.conclude(to, id, outcome);
    }

    async fn upload(&self, key: &'static str) {
        let Ok(upload) = self.start_upload(key).await else {
            return;
        };
        let mut parts = BTreeMap::new();
        for _ in 0..=draw(&*self.rng, 4) {
            let number = 1 + u32::try_from(draw(&*self.rng, 4)).unwrap_or(0);
            let body = self.shared.new_body();
            match self.put_part(key, upload, number, body).await {
                Ok(()) => drop(parts.insert(number, body)),
                // Which body the part has now is not known: the upload is left to the sweeper.
                Err(_) => return,
            }
        }
        if chance(&*self.rng, 15) {
            let abort = async {
                let (bucket, key) = (bucket()?, object_key(key)?);
                self.store.abort_upload(&bucket, &key, &upload).await
            };
            drop(abort.await);
            return;
        }
        self.complete(key, upload, &parts).await;
    }

    async fn start_upload(&self, key: &str) -> Result<UploadId, StoreError> {
        let request = CreateUpload {
            encryption: is_upload_sealed(key).then(Vec::new),
            bucket: bucket()?,
            key: object_key(key)?,
            headers: Headers::default(),
            tags: Tags::default(),
            checksum: None,
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        self.store.create_upload(request).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: UploadId,
        number: u32,
        body: Body,
    ) -> Result<(), StoreError> {
        let part = part_number(number);
        let sealing = is_upload_sealed(key).then(|| Sealing::of_part(data_key(), part));
        let request = PutPart {
            bucket: bucket()?,
            key: object_key(key)?,
            upload,
            number: part,
            blob: self.blob(&[body], sealing).await?,
            etag: etag(&body.bytes()),
            checksum: None,
            default_checksum: None,
        };
        self.store.put_part(request).await.map(drop)
    }

    async fn complete(&self, key: &'static str, upload: UploadId, parts: &BTreeMap<u32, Body>) {
        let bodies: Vec<Body> = parts.values().copied().collect();
        let tags: Vec<ETag> = bodies.iter().map(|body| etag(&body.bytes())).collect();
        let version = Version::new(etag_of_parts(&tags), &bodies);
        let condition = self.condition(key).await;
        let id = self
            .shared
            .begin(key, Operation::Put(version, condition.clone()));
        let part = |(number, etag): (&u32, &ETag)| CompletePart {
            number: part_number(*number),
            etag: *etag,
            checksum: None,
        };
        let result = async {
            let request = CompleteUpload {
                bucket: bucket()?,
                key: object_key(key)?,
                upload,
                parts: parts.keys().zip(&tags).map(part).collect(),
                expected_size: None,
                checksum: None,
                conditions: conditions(&condition),
            };
            let completed = self.store.complete_upload(request, &|_, _| None).await;
            completed.map(drop)
        };
        let outcome = match result.await {
            Err(error @ StoreError::PartTooSmall { .. }) => Outcome::Refused(error.to_string()),
            result => after_commit(result),
        };
        self.shared.conclude(key, id, outcome);
    }

    /// Reads the whole object and compares; what it was.
    async fn get(&self, key: &'static str) -> State {
        let id = self.shared.begin(key, Operation::Get);
        match self.read(key, |size| 0..size).await {
            Ok(state) => {
                let answer = state.clone().map_or(Answer::NoSuchKey, Answer::Found);
                self.shared.end(key, id, &answer);
                state
            }
            Err(what) => {
                self.shared.fail(format!("key {key:?}: {what}"));
                None
            }
        }
    }

    async fn read_range(&self, key: &'static str) {
        let (from, to) = (self.rng.next_u64(), self.rng.next_u64());
        let range = |size: u64| {
            let (from, to) = (from % (size + 1), to % (size + 1));
            from.min(to)..from.max(to)
        };
        let id = self.shared.begin(key, Operation::Get);
        match self.read(key, range).await {
            Ok(state) => {
                let answer = state.map_or(Answer::NoSuchKey, Answer::Found);
                self.shared.end(key, id, &answer);
            }
            Err(what) => self.shared.fail(format!("key {key:?}: {what}")),
        }
    }

    /// What a key is, for [`History::settle`].
    ///
    /// # Errors
    /// It can't be read, or has wrong bytes.
    pub async fn inspect(&self, key: &str) -> Result<State, String> {
        self.read(key, |size| 0..size).await
    }

    async fn look(&self, key: &str) -> Result<Option<ObjectHandle>, StoreError> {
        match self.store.object(&bucket()?, &object_key(key)?).await {
            Ok(mut handle) => {
                if handle.info().encryption.is_some() {
                    handle.unlock(data_key());
                }
                Ok(Some(handle))
            }
            Err(StoreError::NoSuchKey) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(
        &self,
        key: &str,
        range: impl Fn(u64) -> std::ops::Range<u64>,
    ) -> Result<State, String> {
        for _ in 0..MAX_REPLACED {
            let found = self.look(key).await;
            let Some(handle) = found.map_err(|error| format!("not found out: {error}"))? else {
                return Ok(None);
            };
            let info = handle.info().clone();
            let range = range(info.size);
            let bytes = match read_all(&handle, range.clone()).await {
                Ok(bytes) => bytes,
                Err(StoreError::Replaced) => continue,
                Err(error) => return Err(format!("not read: {error}")),
            };
            let tag = (info.etag.md5, info.etag.parts);
            let known = self.shared.bodies.borrow().get(&tag).cloned();
            let bodies = known.ok_or_else(|| format!("has a tag of no write: {}", info.etag))?;
            compare(&bodies, info.size, range, &bytes)?;
            let tags = number_of(&info.tags);
            return Ok(Some(Version {
                etag: tag,
                tags,
                bodies,
            }));
        }
        Err("replaced under its reader again and again".to_owned())
    }

    async fn list(&self) {
        let prefix = ["", "a", "a/", "wal/", "b"][draw(&*self.rng, 5)];
        let limit = 1 + draw(&*self.rng, KEYS.len());
        let wanted: Vec<&'static str> = KEYS
            .into_iter()
            .filter(|key| key.starts_with(prefix))
            .collect();
        let begun: Vec<_> = wanted
            .iter()
            .map(|key| (*key, self.shared.begin(key, Operation::Get)))
            .collect();
        match self.list_all(prefix, limit).await {
            Err(error) => self.shared.fail(format!("not listed: {error}")),
            Ok(found) => {
                if let Some(odd) = found.keys().find(|key| !wanted.contains(&key.as_str())) {
                    self.shared
                        .fail(format!("{odd:?} was never put, but listed"));
                }
                for (key, id) in begun {
                    let answer = found.get(key).copied();
                    let answer = answer.map_or(Answer::NoSuchKey, Answer::Listed);
                    self.shared.end(key, id, &answer);
                }
            }
        }
    }

    /// How much is in the bucket: as it is counted, and as it is listed.
    ///
    /// # Errors
    /// The store's.
    pub async fn usages(&self) -> Result<(Tally, Tally), StoreError> {
        let request = ListObjects {
            bucket: bucket()?,
            prefix: String::new(),
            delimiter: String::new(),
            after: String::new(),
            limit: usize::MAX,
        };
        let mut listed = Tally::default();
        for entry in self.store.list_objects(request).await?.entries {
            if let ListedEntry::Object(object) = entry {
                listed.objects += 1;
                listed.bytes += object.size;
            }
        }
        Ok((self.store.usage(&bucket()?).await?, listed))
    }

    /// All objects below `prefix`, by pages of `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_all(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<BTreeMap<String, ETag>, StoreError> {
        let mut found = BTreeMap::new();
        let mut after = String::new();
        loop {
            let request = ListObjects {
                bucket: bucket()?,
                prefix: prefix.to_owned(),
                delimiter: String::new(),
                after,
                limit,
            };
            let page = self.store.list_objects(request).await?;
            for entry in page.entries {
                if let ListedEntry::Object(object) = entry {
                    found.insert(object.key.as_str().to_owned(), object.etag);
                }
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(found),
            }
        }
    }
}

/// Uploads of half of the keys are encrypted.
fn is_upload_sealed(key: &str) -> bool {
    key.len() % 2 == 1
}

/// The data key of everything: whose it is is not what is looked at here.
fn data_key() -> DataKey {
    DataKey::new(&[7; DATA_KEY_BYTES])
}

async fn read_all(
    handle: &ObjectHandle,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    let mut reader = handle.read(range).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

fn compare(
    bodies: &[Body],
    size: u64,
    range: std::ops::Range<u64>,
    got: &[u8],
) -> Result<(), String> {
    let wanted: Vec<_> = bodies.iter().map(|body| body.bytes()).collect();
    let wanted = wanted.concat();
    if size != wanted.len() as u64 {
        return Err(format!("has {size} bytes, not {}", wanted.len()));
    }
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let wanted = &wanted[at(range.start)..at(range.end)];
    if wanted == got {
        return Ok(());
    }
    let first = wanted.iter().zip(got).position(|(a, b)| a != b);
    Err(format!(
        "wrong bytes in {range:?}: {} of {} bytes, first difference at {first:?}",
        got.len(),
        wanted.len()
    ))
}

fn number_of(tags: &Tags) -> u32 {
    tags.0
        .first()
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

fn before_commit(error: &StoreError) -> Outcome {
    match error {
        StoreError::Unavailable(_) | StoreError::Full | StoreError::Overloaded(_) => {
            Outcome::Refused(error.to_string())
        }
        other => Outcome::Bug(format!("body not taken: {other}")),
    }
}

fn after_commit(result: Result<(), StoreError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(StoreError::PreconditionFailed { .. }) => Outcome::Answer(Answer::PreconditionFailed),
        Err(StoreError::NoSuchKey) => Outcome::Answer(Answer::NoSuchKey),
        Err(error @ StoreError::Conflict) => Outcome::Refused(error.to_string()),
        Err(
            error @ (StoreError::Unavailable(_) | StoreError::Full | StoreError::Overloaded(_)),
        ) => Outcome::Unknown(error.to_string()),
        Err(other) => Outcome::Bug(format!("not written: {other}")),
    }
}

fn conditions(condition: &Condition) -> WriteConditions {
    match condition {
        Condition::Always => WriteConditions::default(),
        Condition::Absent => WriteConditions {
            if_none_match_any: true,
            ..WriteConditions::default()
        },
        Condition::Tag(etag) => WriteConditions {
            if_match: Some((*etag).into()),
            ..WriteConditions::default()
        },
    }
}

/// The bucket's name.
pub(crate) fn bucket() -> Result<BucketName, StoreError> {
    BucketName::parse(BUCKET).map_err(|error| StoreError::Unreadable(error.to_string()))
}

fn object_key(key: &str) -> Result<ObjectKey, StoreError> {
    ObjectKey::parse(key).map_err(|error| StoreError::Unreadable(error.to_string()))
}

fn part_number(number: u32) -> PartNumber {
    PartNumber::new(number).unwrap_or_else(|| unreachable!("parts are 1 to 5"))
}
