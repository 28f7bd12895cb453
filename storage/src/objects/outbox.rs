//! Events: what others are told of writes.
//!
//! Whether a write is told of, to whom and in which words is somebody else's matter: a [`Herald`] says it. What it says becomes a row of the very
//! commit that makes the write, so there is no write without its event, and no event without its write. Rows stand by queue and then by number,
//! and stay until they are settled.
//!
//! Invariant: events of one key have numbers in the order of their commits. A number is drawn after what the object's key holds was read, and the
//! commit happens only if it still holds that.

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    AccountId, Document, DocumentKind, ETag, ObjectKey, Store, StoreError, VersionId,
    bucket::OpenBucket,
    commit::Draft,
    keys,
    record::{ObjectRecord, decode_event, encode_event},
};
use crate::meta::tally::Tally;

/// Rows that are settled in one commit.
const SETTLED_AT_ONCE: usize = 60;
/// Keeps queues apart from buckets, whose numbers are of the first 2^23 starts, among what is tallied.
const GROUP: u64 = 1 << 63;

/// Whom events wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue(u64);

impl Queue {
    /// The queue of this number, of which the highest bit does not count.
    pub fn new(number: u64) -> Self {
        Self(number & !GROUP)
    }

    /// Under which its rows are tallied.
    pub(super) fn group(self) -> u64 {
        self.0 | GROUP
    }

    /// That of a row's key.
    pub(super) fn of_row(key: &[u8]) -> Option<Self> {
        let (queue, _) = keys::parse_event(key)?;
        Some(Self::new(queue))
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was written: put, copied, or made of parts.
    Created,
    /// A version went for good, or the object where there are no versions.
    Deleted,
    /// It was hidden by a delete marker.
    MarkerCreated,
    /// As [`Self::Deleted`], by a lifecycle rule.
    Expired,
    /// As [`Self::MarkerCreated`], by a lifecycle rule.
    MarkerByRule,
    /// It has other tags, or none.
    Tagged,
    /// It has another access control list.
    AclSet,
}

/// A write, as heralds see it.
#[derive(Clone, Copy, Debug)]
pub struct Happening<'a> {
    /// What happened.
    pub what: Happened,
    /// The bucket's name.
    pub bucket: &'a str,
    /// Whose the bucket is.
    pub owner: AccountId,
    /// Which object.
    pub key: &'a ObjectKey,
    /// Which version of it; `None` in a bucket without versions.
    pub version: Option<VersionId>,
    /// What is there now; `None` where something went.
    pub content: Option<(u64, ETag)>,
    /// When, milliseconds since the Unix epoch.
    pub unix_millis: u64,
    /// Of two events of one key the later one's number is the higher one.
    pub number: u64,
}

/// An event that a write makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whom it is for.
    pub queue: Queue,
    /// What it says.
    pub content: Bytes,
    /// While so many wait there, it is dropped. Writes under way may add a few more.
    pub most_waiting: u64,
}

/// Says what is told of writes. What it is asked it answers at once: a write waits for it.
pub trait Herald: Debug + Send + Sync {
    /// The event that a write in a bucket with this configuration makes; `None`: nobody is told.
    fn event(&self, configuration: &Document, happening: &Happening<'_>) -> Option<Event>;
    /// The write was made, and its event dropped: too many wait.
    fn dropped(&self, queue: Queue);
}

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Its number.
    pub number: u64,
    /// What it says.
    pub content: Bytes,
}

/// What all handles of a store share.
#[derive(Debug)]
pub(super) struct Outbox {
    herald: OnceLock<Arc<dyn Herald>>,
    added: watch::Sender<u64>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            herald: OnceLock::new(),
            added: watch::Sender::new(0),
        }
    }
}

impl Outbox {
    /// Says that there are more events.
    pub(super) fn has_more(&self) {
        self.added
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What an event says beside where it happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    what: Happened,
    version: Option<VersionId>,
    content: Option<(u64, ETag)>,
    unix_millis: u64,
}

impl Fact {
    /// Of a version that is there.
    pub(super) fn of(what: Happened, version: Option<VersionId>, record: &ObjectRecord) -> Self {
        Self {
            what,
            version,
            content: (!record.is_delete_marker).then_some((record.size, record.etag)),
            unix_millis: record.modified_unix_millis,
        }
    }

    /// Of one that went, or of something that happened now to one that stays.
    pub(super) fn now(what: Happened, version: Option<VersionId>, now: u64) -> Self {
        Self {
            what,
            version,
            content: None,
            unix_millis: now,
        }
    }

    /// With what is there.
    pub(super) fn with(self, record: &ObjectRecord) -> Self {
        Self {
            content: Some((record.size, record.etag)),
            ..self
        }
    }
}

/// Whom a write in a bucket has to tell, if anybody.
#[derive(Debug)]
pub(super) struct Teller(Option<Told>);

#[derive(Debug)]
struct Told {
    herald: Arc<dyn Herald>,
    /// `None`: it has changed since the bucket was read.
    configuration: Option<Arc<Document>>,
}

impl Teller {
    /// Adds the event of a write to its draft; the object's key was read before.
    pub(super) fn tell(
        &self,
        draft: &mut Draft,
        store: &Store,
        bucket: &OpenBucket,
        key: &ObjectKey,
        fact: Fact,
    ) {
        let Some(Told {
            herald,
            configuration,
        }) = &self.0
        else {
            return;
        };
        // By another configuration it might be another event.
        draft.expect_bucket(bucket);
        let Some(configuration) = configuration else {
            return;
        };
        let number = store.new_number();
        let happening = Happening {
            what: fact.what,
            bucket: bucket.name(),
            owner: bucket.owner(),
            key,
            version: fact.version,
            content: fact.content,
            unix_millis: fact.unix_millis,
            number,
        };
        let Some(event) = herald.event(configuration, &happening) else {
            return;
        };
        if store.events_waiting(event.queue).objects < event.most_waiting {
            draft.keep_event(keys::event(event.queue.0, number), &event.content);
        } else {
            draft.drop_event(Arc::clone(herald), event.queue);
        }
    }
}

impl Store {
    /// Has `herald` say what is told of writes that no other herald is there for. Only the first call counts.
    pub fn set_herald(&self, herald: Arc<dyn Herald>) {
        drop(self.inner.outbox.herald.set(herald));
    }

    /// The same store for somebody of whose writes `herald` says what is told.
    #[must_use]
    pub fn heralded(&self, herald: Arc<dyn Herald>) -> Self {
        Self {
            herald: Some(herald),
            ..self.clone()
        }
    }

    /// Whom a write in `bucket` has to tell. Reads nothing where nobody is told, or the configuration was read before.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub(super) async fn teller(&self, bucket: &OpenBucket) -> Result<Teller, StoreError> {
        let herald = self.herald.as_ref();
        let herald = herald.or_else(|| self.inner.outbox.herald.get());
        let Some(herald) = herald.filter(|_| bucket.tells()) else {
            return Ok(Teller(None));
        };
        // On the heap: seldom needed.
        let found = Box::pin(self.document_in(bucket, DocumentKind::Notifications));
        Ok(Teller(Some(Told {
            herald: Arc::clone(herald),
            configuration: found.await?,
        })))
    }

    /// The events that have waited longest in a queue, `limit` at most, in the order of their numbers. What a later release wrote is left out.
    /// Of one key none is ever shown before an earlier one that still waits.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn waiting_events(
        &self,
        queue: Queue,
        limit: usize,
    ) -> Result<Vec<WaitingEvent>, StoreError> {
        let (from, to) = keys::events(queue.0);
        let rows = self.inner.meta.scan(&from, &to, limit).await?;
        let events = rows.into_iter().filter_map(|row| {
            let (_, number) = keys::parse_event(&row.key)?;
            let content = decode_event(&row.value).ok()?;
            Some(WaitingEvent { number, content })
        });
        Ok(events.collect())
    }

    /// How many events wait in a queue, and the bytes of their rows. Exact; reads nothing.
    pub fn events_waiting(&self, queue: Queue) -> Tally {
        self.inner.meta.tally(queue.group())
    }

    /// Changes whenever there may be more events.
    pub fn events_added(&self) -> watch::Receiver<u64> {
        self.inner.outbox.added.subscribe()
    }

    /// Removes events for good: whom they are for has them. Durable when it returns.
    ///
    /// # Errors
    /// Those of the metadata engine; some may be gone then.
    pub async fn settle_events(&self, queue: Queue, numbers: &[u64]) -> Result<(), StoreError> {
        for numbers in numbers.chunks(SETTLED_AT_ONCE) {
            let mut draft = Draft::default();
            for number in numbers {
                draft.delete(keys::event(queue.0, *number));
            }
            self.try_commit(draft).await?;
        }
        Ok(())
    }

    /// Adds events that no write made. Durable when it returns.
    ///
    /// # Errors
    /// Those of the metadata engine; some may be added then.
    pub async fn add_events(&self, events: &[Event]) -> Result<(), StoreError> {
        for events in events.chunks(SETTLED_AT_ONCE) {
            let mut draft = Draft::default();
            for event in events {
                let row = keys::event(event.queue.0, self.new_number());
                draft.keep_event(row, &event.content);
            }
            self.try_commit(draft).await?;
        }
        Ok(())
    }
}

impl Draft {
    fn keep_event(&mut self, row: Bytes, content: &[u8]) {
        self.put(row, encode_event(content));
        self.events.are_kept = true;
    }

    fn drop_event(&mut self, herald: Arc<dyn Herald>, queue: Queue) {
        self.events.dropped.push((herald, queue));
    }
}

/// What a draft does about events.
#[derive(Debug, Default)]
pub(super) struct DraftedEvents {
    are_kept: bool,
    dropped: Vec<(Arc<dyn Herald>, Queue)>,
}

impl DraftedEvents {
    /// The commit has happened.
    pub(super) fn committed(self, outbox: &Outbox) {
        if self.are_kept {
            outbox.has_more();
        }
        for (herald, queue) in self.dropped {
            herald.dropped(queue);
        }
    }
}
