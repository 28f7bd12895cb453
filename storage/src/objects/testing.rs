//! What the tests of this module stand on: the one place that knows how to make a pool without disks of its own.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use larder_erasure::Profile;

use super::*;
use crate::{
    disk::{
        Address, BlobId, Completion, DiskError, DiskNo, Frame, FrameKind, OpenOptions, Seq, memory,
    },
    meta::{
        Meta, MetaError, Revision,
        memory::{InlineSink, MemoryMeta},
    },
    rng::SeededRng,
    stripes::{BlobPlacement, InlineBlob, Pool, PoolDisk, PoolOptions, ShardForm, ShardPlace},
};

/// Bodies above this become extents in tests.
pub(super) const INLINE_MAX: usize = 100;

/// A pool of two disks in memory.
pub(super) fn pool() -> Arc<Pool> {
    let (_, opened) = memory(2, 1 << 32, &OpenOptions::default(), &SeededRng::new(1)).unwrap();
    let disks = opened.disks.into_iter().map(PoolDisk::from);
    let profile = Profile::new(1, 1).unwrap();
    let pool = Pool::new(
        disks.collect(),
        PoolOptions {
            profile,
            blocking_threads: false,
        },
    );
    pool.set_epoch(1);
    pool.set_inline_max(INLINE_MAX as u64);
    pool
}

/// How many blobs have extents, to see what leaks.
pub(super) fn extents(pool: &Pool) -> usize {
    let disks = pool.disks();
    let blobs = disks
        .here()
        .flat_map(|disk| disk.extents().unwrap())
        .map(|(blob, _)| blob);
    blobs.collect::<HashSet<_>>().len()
}

/// The placement of some inline blob.
pub(super) fn some_placement() -> BlobPlacement {
    let shard = |disk, offset| ShardPlace::Log(DiskNo(disk), Address { segment: 3, offset });
    BlobPlacement {
        blob: BlobId((1 << 40) + 5),
        size: 77,
        profile: Profile::new(1, 1).unwrap(),
        form: ShardForm::Inline,
        shards: vec![shard(0, 4711), shard(1, 4700)],
    }
}

/// Writes inline blobs to their disks, without a commit around them.
#[derive(Debug)]
struct Sink;

#[derive(Debug)]
struct Done(mpsc::Sender<Result<(), DiskError>>);

impl Completion for Done {
    fn complete(&self, _: DiskNo, result: Result<(), DiskError>) {
        self.0.send(result).unwrap();
    }
}

impl InlineSink for Sink {
    fn store(&self, revision: Revision, blob: &InlineBlob) -> Result<BlobPlacement, MetaError> {
        let (sender, receiver) = mpsc::channel();
        let mut shards = Vec::new();
        for (index, (disk, shard)) in blob.shards.iter().enumerate() {
            let disk = disk.as_ref().unwrap();
            let frame = Frame {
                kind: FrameKind::Shard,
                seq: Seq::new(1, revision.0),
                shard_index: u8::try_from(index).unwrap(),
                meta: &[],
                shard,
            };
            let address = disk
                .append(&frame, Some(Arc::new(Done(sender.clone()))))
                .unwrap();
            shards.push(ShardPlace::Log(disk.number(), address));
        }
        drop(sender);
        for result in receiver {
            result.unwrap();
        }
        let InlineBlob {
            blob,
            size,
            profile,
            ..
        } = *blob;
        Ok(BlobPlacement {
            blob,
            size,
            profile,
            form: ShardForm::Inline,
            shards,
        })
    }
}

/// A metadata engine that writes inline blobs to their disks.
pub(super) fn meta() -> Arc<dyn Meta> {
    Arc::new(MemoryMeta::with_sink(Arc::new(Sink)).weighing(weigh))
}

/// A clock that is set by hand.
#[derive(Debug)]
pub(super) struct ManualClock {
    millis: AtomicU64,
    /// How far the wall clock is behind what it should be.
    behind: AtomicU64,
}

impl ManualClock {
    fn new(millis: u64) -> Self {
        Self {
            millis: AtomicU64::new(millis),
            behind: AtomicU64::new(0),
        }
    }

    pub(super) fn advance(&self, duration: Duration) {
        self.millis.fetch_add(
            u64::try_from(duration.as_millis()).unwrap(),
            Ordering::SeqCst,
        );
    }

    /// From now on the wall clock is so far behind.
    pub(super) fn set_behind(&self, duration: Duration) {
        let behind = u64::try_from(duration.as_millis()).unwrap();
        self.behind.store(behind, Ordering::SeqCst);
    }

    /// What the wall clock would say had nobody touched it.
    pub(super) fn true_millis(&self) -> u64 {
        self.millis.load(Ordering::SeqCst)
    }
}

impl Clock for ManualClock {
    fn unix_millis(&self) -> u64 {
        let behind = self.behind.load(Ordering::SeqCst);
        self.true_millis().saturating_sub(behind)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.true_millis())
    }

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// Not MD5, but tells different bytes apart.
pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut state = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    for byte in bytes {
        state = (state ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
    }
    state.to_be_bytes()
}

/// Small parts, so that tests need little data.
pub(super) const MIN_PART: u64 = 5;

fn store(meta: &Arc<dyn Meta>, pool: &Arc<Pool>, clock: &Arc<ManualClock>) -> Store {
    let options = StoreOptions {
        min_part_bytes: MIN_PART,
        ..StoreOptions::default()
    };
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let rng = Arc::new(SeededRng::new(1));
    Store::new(Arc::clone(meta), Arc::clone(pool), clock, rng, digest).with_options(options)
}

/// A store in memory with all that a test wants to look at.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) pool: Arc<Pool>,
    pub(super) meta: Arc<dyn Meta>,
    pub(super) clock: Arc<ManualClock>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with_meta(|meta| meta)
    }

    /// With something between the store and its metadata.
    pub(super) fn with_meta(wrap: impl FnOnce(Arc<dyn Meta>) -> Arc<dyn Meta>) -> Self {
        let pool = pool();
        let meta = wrap(meta());
        let clock = Arc::new(ManualClock::new(1_000_000));
        let store = store(&meta, &pool, &clock);
        Self {
            store,
            pool,
            meta,
            clock,
        }
    }

    /// Forgets what is only in memory.
    pub(super) fn restart(&mut self) {
        self.store = store(&self.meta, &self.pool, &self.clock);
    }

    /// With a bucket named `bucket`.
    pub(super) async fn with_bucket() -> Self {
        let fixture = Self::new();
        fixture.create("bucket").await.unwrap();
        fixture
    }

    /// With a bucket named `bucket` that has object lock.
    pub(super) async fn with_locked_bucket() -> Self {
        let fixture = Self::new();
        let request = CreateBucket {
            lock: Some(BucketLock::default()),
            ..CreateBucket::new(bucket("bucket"))
        };
        fixture.store.create_bucket(request).await.unwrap();
        fixture
    }

    pub(super) async fn create(&self, name: &str) -> Result<Bucket, StoreError> {
        let request = CreateBucket {
            region: "here".into(),
            ..CreateBucket::new(bucket(name))
        };
        self.store.create_bucket(request).await
    }

    pub(super) async fn blob(&self, body: &[u8]) -> FinishedBody {
        let mut writer = self
            .store
            .blob_writer(&bucket("bucket"), Some(body.len() as u64))
            .await
            .unwrap();
        writer.write(Bytes::copy_from_slice(body)).await.unwrap();
        writer.finish().await.unwrap()
    }

    /// A put of `body` into `bucket`.
    pub(super) async fn request(&self, name: &str, body: &[u8]) -> PutObject {
        PutObject {
            bucket: bucket("bucket"),
            key: key(name),
            blob: self.blob(body).await,
            etag: etag(body),
            checksum: None,
            headers: Headers::default(),
            tags: Tags::default(),
            conditions: WriteConditions::default(),
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        }
    }

    pub(super) async fn put(&self, name: &str, body: &[u8]) -> Result<Written, StoreError> {
        self.store.put_object(self.request(name, body).await).await
    }

    pub(super) async fn put_in(
        &self,
        name: &str,
        object: &str,
        body: &[u8],
    ) -> Result<Written, StoreError> {
        let request = PutObject {
            bucket: bucket(name),
            ..self.request(object, body).await
        };
        self.store.put_object(request).await
    }

    pub(super) async fn put_if(
        &self,
        name: &str,
        body: &[u8],
        conditions: WriteConditions,
    ) -> Result<Written, StoreError> {
        let request = PutObject {
            conditions,
            ..self.request(name, body).await
        };
        self.store.put_object(request).await
    }

    pub(super) async fn handle(&self, name: &str) -> Result<ObjectHandle, StoreError> {
        self.store.object(&bucket("bucket"), &key(name)).await
    }

    /// The whole body.
    pub(super) async fn get(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let handle = self.handle(name).await?;
        read_all(handle.read(0..handle.info().size).await?).await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<bool, StoreError> {
        self.store
            .delete_object(&bucket("bucket"), &key(name), WriteConditions::default())
            .await
            .map(|deleted| deleted.changed)
    }

    pub(super) async fn start(&self, name: &str) -> UploadId {
        let request = CreateUpload {
            encryption: None,
            bucket: bucket("bucket"),
            key: key(name),
            headers: Headers::default(),
            tags: Tags::default(),
            checksum: None,
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        self.store.create_upload(request).await.unwrap()
    }

    pub(super) async fn part(
        &self,
        name: &str,
        upload: UploadId,
        part: u32,
        body: &[u8],
    ) -> Result<Written, StoreError> {
        let request = PutPart {
            bucket: bucket("bucket"),
            key: key(name),
            upload,
            number: number(part),
            blob: self.blob(body).await,
            etag: etag(body),
            checksum: None,
            default_checksum: None,
        };
        self.store.put_part(request).await
    }

    /// Completes with parts that are believed to have these bodies.
    pub(super) async fn complete(
        &self,
        name: &str,
        upload: UploadId,
        parts: &[(u32, &[u8])],
    ) -> Result<Written, StoreError> {
        self.store
            .complete_upload(completion(name, upload, parts), &|_, _| None)
            .await
    }

    /// An object of one part.
    pub(super) async fn upload_whole(
        &self,
        name: &str,
        body: &[u8],
    ) -> Result<Written, StoreError> {
        let upload = self.start(name).await;
        self.part(name, upload, 1, body).await?;
        self.complete(name, upload, &[(1, body)]).await
    }

    /// Sweeps until nothing is left that can be removed.
    pub(super) async fn sweep(&self) -> Swept {
        let mut sum = Swept::default();
        loop {
            let swept = self.store.sweep_once(3).await.unwrap();
            sum.tasks += swept.tasks;
            sum.blobs += swept.blobs;
            sum.parts += swept.parts;
            sum.uploads += swept.uploads;
            sum.waiting = swept.waiting;
            if swept.tasks == 0 && !swept.has_more {
                return sum;
            }
        }
    }

    /// Keys in the metadata that begin with `space`.
    pub(super) async fn count(&self, space: u8) -> usize {
        self.meta
            .scan(&[space], &[space + 1], usize::MAX)
            .await
            .unwrap()
            .len()
    }
}

pub(super) async fn read_all(mut reader: ObjectReader) -> Result<Vec<u8>, StoreError> {
    let mut body = Vec::new();
    while let Some(chunk) = reader.next().await {
        body.extend_from_slice(&chunk?);
    }
    Ok(body)
}

pub(super) fn completion(name: &str, upload: UploadId, parts: &[(u32, &[u8])]) -> CompleteUpload {
    let part = |&(n, body): &(u32, &[u8])| CompletePart {
        number: number(n),
        etag: etag(body),
        checksum: None,
    };
    CompleteUpload {
        bucket: bucket("bucket"),
        key: key(name),
        upload,
        parts: parts.iter().map(part).collect(),
        expected_size: None,
        checksum: None,
        conditions: WriteConditions::default(),
    }
}

pub(super) fn bucket(name: &str) -> BucketName {
    BucketName::parse(name).unwrap()
}

pub(super) fn key(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

pub(super) fn number(n: u32) -> PartNumber {
    PartNumber::new(n).unwrap()
}

pub(super) fn etag(body: &[u8]) -> ETag {
    ETag {
        md5: digest(body),
        parts: 0,
    }
}
