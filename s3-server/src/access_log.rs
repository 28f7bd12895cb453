//! Server access logs: requests for a bucket as lines in objects of another bucket.
//!
//! Delivery is best effort, as on AWS: lines are gathered in memory and written every few minutes, when there are many, and at a graceful
//! stop. A crash loses those that are not written yet; what does not fit into memory while nothing can be written is lost, counted and logged.
//!
//! Invariant: gathering a line never waits, and never fails a request.

mod line;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use larder_storage::{
    clock::Clock,
    objects::{
        BodyWriter, BucketName, DocumentKind, ETag, ErrorKind, Headers, ObjectAcl, ObjectKey,
        ObjectLock, PutObject, Store, StoreError, Tags, WriteConditions,
    },
    rng::Rng,
};
use parking_lot::Mutex;
use time::{OffsetDateTime, macros::format_description};
use tokio::sync::Notify;

pub(crate) use line::{Entry, Stopwatch};

use crate::{
    hash::{Md5Lanes, Md5Stream},
    keyring::Keyring,
    op::seal_object,
    xml::parse::{self, LogDestination, LogKeyFormat},
};

/// All lines together hold at most so much.
const MAX_BYTES: usize = 8 << 20;
/// One object's lines are written once they are so many.
const FULL_BYTES: usize = 1 << 20;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Lines of one source that go into one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Batch {
    target: BucketName,
    prefix: String,
    source: BucketName,
    /// The account of the source, where it is part of the object's key.
    account: String,
    format: LogKeyFormat,
    /// The day of the events, in days since 1970, where the object's key names it.
    day: Option<u64>,
}

#[derive(Debug, Default)]
struct Gathered {
    batches: BTreeMap<Batch, Vec<u8>>,
    bytes: usize,
    lost: u64,
}

/// Gathers lines and writes them.
#[derive(Debug)]
pub struct AccessLog {
    gathered: Mutex<Gathered>,
    lost_lines: AtomicU64,
    full: Notify,
    region: String,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    md5: Md5Lanes,
    /// What encrypts logs, and whether all of them.
    sealing: OnceLock<(Arc<Keyring>, bool)>,
}

impl AccessLog {
    /// An empty one.
    pub fn new(region: String, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, md5: Md5Lanes) -> Self {
        Self {
            gathered: Mutex::default(),
            lost_lines: AtomicU64::new(0),
            full: Notify::new(),
            region,
            clock,
            rng,
            md5,
            sealing: OnceLock::new(),
        }
    }

    /// Where the requests for a bucket are logged; `None` where they are not.
    pub(crate) async fn destination(
        store: &Store,
        bucket: &BucketName,
    ) -> Option<Arc<LogDestination>> {
        let found = store.document(bucket, DocumentKind::Logging).await;
        let document = found.ok().flatten()?;
        let parsed = document.parsed(|bytes| {
            // What does not parse was written by a newer release.
            parse::bucket_logging(bytes).ok().flatten().map(Arc::new)
        });
        (*parsed).clone()
    }

    /// Gathers a line.
    pub(crate) fn add(&self, destination: &LogDestination, entry: &Entry<'_>) {
        let Ok(target) = BucketName::parse(&destination.bucket) else {
            return;
        };
        let batch = Batch {
            target,
            prefix: destination.prefix.clone(),
            source: entry.bucket.clone(),
            account: entry.account.to_string(),
            format: destination.format,
            day: (destination.format == LogKeyFormat::EventTime)
                .then_some(entry.received_unix_millis / DAY_MILLIS),
        };
        self.push(batch, entry.line().as_bytes());
    }

    fn push(&self, batch: Batch, lines: &[u8]) {
        let mut gathered = self.gathered.lock();
        if gathered.bytes + lines.len() > MAX_BYTES {
            let lost = count_lines(lines);
            gathered.lost += lost;
            self.lost_lines.fetch_add(lost, Ordering::Relaxed);
            return;
        }
        gathered.bytes += lines.len();
        let held = gathered.batches.entry(batch).or_default();
        held.extend_from_slice(lines);
        if held.len() >= FULL_BYTES {
            self.full.notify_one();
        }
    }

    /// Lines that were lost since the start: more came than could be written, or there is no bucket to write them to.
    pub(crate) fn lost_lines(&self) -> u64 {
        self.lost_lines.load(Ordering::Relaxed)
    }

    /// Writes what is gathered every `interval`, or sooner, for ever.
    pub async fn run(&self, store: &Store, interval: Duration) {
        loop {
            tokio::select! {
                () = self.clock.sleep(interval) => {}
                () = self.full.notified() => {}
            }
            self.flush(store).await;
        }
    }

    /// Writes what is gathered. What can't be written now is tried again at the next flush.
    pub async fn flush(&self, store: &Store) {
        let Gathered { batches, lost, .. } = std::mem::take(&mut *self.gathered.lock());
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "lines of access logs are lost: more came than could be written"
            );
        }
        for (batch, lines) in batches {
            let lines = Bytes::from(lines);
            let Err(error) = self.write(store, &batch, lines.clone()).await else {
                continue;
            };
            let (source, target) = (&batch.source, &batch.target);
            tracing::warn!(%source, %target, %error, "access log not written");
            if error.kind() == ErrorKind::Unavailable {
                self.push(batch, &lines);
            } else {
                self.lost_lines
                    .fetch_add(count_lines(&lines), Ordering::Relaxed);
            }
        }
    }

    /// Seals logs from now on: all of them, or those in buckets that have it so.
    pub(crate) fn seal_with(&self, keyring: Arc<Keyring>, encrypt_all: bool) {
        drop(self.sealing.set((keyring, encrypt_all)));
    }

    async fn writer(
        &self,
        store: &Store,
        bucket: &BucketName,
        key: &ObjectKey,
        size: u64,
    ) -> Result<BodyWriter, StoreError> {
        let is_default = async || {
            let found = store.document(bucket, DocumentKind::Encryption).await?;
            Ok::<_, StoreError>(found.is_some())
        };
        match self.sealing.get() {
            Some((keyring, all)) if *all || is_default().await? => {
                let sealing = seal_object(keyring, bucket, key);
                let sealing = sealing.map_err(|error| StoreError::Internal(error.to_string()))?;
                store.sealed_blob_writer(bucket, Some(size), sealing).await
            }
            _ => store.blob_writer(bucket, Some(size)).await,
        }
    }

    async fn write(&self, store: &Store, batch: &Batch, lines: Bytes) -> Result<(), StoreError> {
        let now = self.clock.unix_millis();
        let unique = self.rng.next_u64();
        let Ok(key) = ObjectKey::parse(&batch.key(&self.region, now, unique)) else {
            return Err(StoreError::NoSuchKey);
        };
        let size = lines.len() as u64;
        let mut md5 = Md5Stream::new(&self.md5);
        md5.update(lines.clone()).await;
        let mut writer = self.writer(store, &batch.target, &key, size).await?;
        writer.write(lines).await?;
        let put = PutObject {
            bucket: batch.target.clone(),
            key,
            blob: writer.finish().await?,
            etag: ETag {
                md5: md5.finish().await,
                parts: 0,
            },
            checksum: None,
            headers: Headers {
                system: vec![("content-type".to_owned(), "text/plain".to_owned())],
                user: Vec::new(),
            },
            tags: Tags::default(),
            conditions: WriteConditions::default(),
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        store.put_object(put).await.map(drop)
    }
}

impl Batch {
    /// The key of the object, as AWS makes it.
    fn key(&self, region: &str, now_unix_millis: u64, unique: u64) -> String {
        let stamp = format_description!("[year]-[month]-[day]-[hour]-[minute]-[second]");
        let date = format_description!("[year]/[month]/[day]");
        let now = time(now_unix_millis);
        let formatted = now.format(&stamp).unwrap_or_default();
        let name = format!("{formatted}-{unique:016X}");
        let day = match self.format {
            LogKeyFormat::Simple => return format!("{}{name}", self.prefix),
            LogKeyFormat::DeliveryTime => now,
            LogKeyFormat::EventTime => self.day.map_or(now, |day| time(day * DAY_MILLIS)),
        };
        let date = day.format(&date).unwrap_or_default();
        let Self {
            prefix,
            account,
            source,
            ..
        } = self;
        format!("{prefix}{account}/{region}/{source}/{date}/{name}")
    }
}

fn time(unix_millis: u64) -> OffsetDateTime {
    let seconds = i64::try_from(unix_millis / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use larder_storage::{clock::SystemClock, rng::SeededRng};

    use super::*;

    fn batch(format: LogKeyFormat, day: Option<u64>) -> Batch {
        Batch {
            target: BucketName::parse("logs").unwrap(),
            prefix: "p/".to_owned(),
            source: BucketName::parse("source").unwrap(),
            account: "000000000007".to_owned(),
            format,
            day,
        }
    }

    #[test]
    fn keys_are_made_as_aws_makes_them() {
        let key = |format, day| batch(format, day).key("here", 1_700_000_000_000, 255);
        let name = "2023-11-14-22-13-20-00000000000000FF";
        assert_eq!(key(LogKeyFormat::Simple, None), format!("p/{name}"));
        assert_eq!(
            key(LogKeyFormat::DeliveryTime, None),
            format!("p/000000000007/here/source/2023/11/14/{name}")
        );
        assert_eq!(
            key(LogKeyFormat::EventTime, Some(1)),
            format!("p/000000000007/here/source/1970/01/02/{name}")
        );
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_counted() {
        let (clock, rng) = (Arc::new(SystemClock), Arc::new(SeededRng::new(1)));
        let log = AccessLog::new("here".to_owned(), clock, rng, Md5Lanes::new().unwrap());
        let line = [&[b'x'; 999][..], b"\n"].concat();
        for _ in 0..20_000 {
            log.push(batch(LogKeyFormat::Simple, None), &line);
        }
        assert_eq!(log.lost_lines(), 20_000 - (MAX_BYTES / 1000) as u64);
        let gathered = log.gathered.lock();
        assert!(gathered.bytes <= MAX_BYTES && gathered.bytes > MAX_BYTES - 1000);
        assert_eq!(gathered.lost, 20_000 - (MAX_BYTES / 1000) as u64);
    }
}
