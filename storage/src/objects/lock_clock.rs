//! The time that retentions are counted from: one that never runs backwards, whatever is done to the machine's clock.
//!
//! It is the highest time that the clock ever showed, as far as this process and a mark in the metadata (`stime`) know. While the process
//! runs it goes on with the monotonic clock, also where the other one is set back. The mark is written with the commit that gives a
//! bucket object lock, and from then on by upkeep when it is [`MARK_AGE`] behind: no request waits for it. What is certain
//! and what is not is in `docs/durability.md`.
//!
//! Whether a retention is *over* is asked of the machine's clock alone: set back, it makes retentions longer, never shorter.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Store, StoreError, commit::Draft};
use crate::{clock::Clock, varint};

const KEY: &[u8] = b"stime";
const VERSION: u8 = 1;
/// How far the mark may lie behind.
const MARK_AGE: Duration = Duration::from_mins(5);
/// A clock that is further behind than this is worth a warning.
const WORTH_A_WARNING: Duration = Duration::from_mins(10);

/// The time so far, once the mark was read.
#[derive(Debug, Default)]
pub(super) struct LockClock {
    state: Mutex<Option<Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The highest time, milliseconds since the Unix epoch.
    at: u64,
    /// The monotonic time then.
    since: Duration,
    /// What the metadata says; 0: nothing, there is no bucket with object lock.
    mark: u64,
}

impl Seen {
    fn advance(&mut self, clock: &dyn Clock) -> u64 {
        let monotonic = clock.monotonic();
        let gone = monotonic.saturating_sub(self.since).as_millis();
        let gone = u64::try_from(gone).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(gone).max(clock.unix_millis());
        self.since = monotonic;
        self.at
    }
}

impl LockClock {
    fn advance(&self, clock: &dyn Clock) -> Option<Seen> {
        let mut state = self.state.lock();
        let seen = state.as_mut()?;
        seen.advance(clock);
        Some(*seen)
    }

    /// What the metadata says now.
    fn marked(&self, clock: &dyn Clock, mark: u64) -> Seen {
        let mut state = self.state.lock();
        let seen = state.get_or_insert(Seen {
            at: 0,
            since: clock.monotonic(),
            mark: 0,
        });
        seen.mark = seen.mark.max(mark);
        seen.at = seen.at.max(mark);
        seen.advance(clock);
        *seen
    }
}

impl Store {
    /// The time that retentions are counted from, milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// Those of the metadata engine, whose mark must have been read.
    pub(super) async fn lock_time(&self) -> Result<u64, StoreError> {
        Ok(self.seen_time().await?.at)
    }

    async fn seen_time(&self) -> Result<Seen, StoreError> {
        let (clock, time) = (&*self.inner.clock, &self.inner.lock_clock);
        if let Some(seen) = time.advance(clock) {
            return Ok(seen);
        }
        let found = self.inner.meta.get(KEY).await?;
        let mark = found.map_or(Some(0), |found| decode(&found.value));
        // Without it a clock that is set back would go unnoticed.
        let mark = mark.ok_or_else(|| StoreError::Internal("time mark does not decode".into()))?;
        let behind = mark.saturating_sub(clock.unix_millis());
        if u128::from(behind) > WORTH_A_WARNING.as_millis() {
            let behind_seconds = behind / 1000;
            tracing::warn!(
                behind_seconds,
                "the clock is behind what it was; retentions of objects are counted from what it was"
            );
        }
        Ok(time.marked(clock, mark))
    }

    /// The mark of this time is in the metadata.
    pub(super) fn time_is_marked(&self, mark: u64) {
        self.inner.lock_clock.marked(&*self.inner.clock, mark);
    }

    /// Writes the mark anew if it lies behind and any bucket has object lock; with `now`, also if it lies behind by little. For a loop in
    /// the background.
    ///
    /// # Errors
    /// Those of the metadata engine.
    pub async fn mark_time(&self, now: bool) -> Result<(), StoreError> {
        let seen = self.seen_time().await?;
        let age = if now { 0 } else { MARK_AGE.as_millis() };
        let is_due = u128::from(seen.at) > u128::from(seen.mark) + age;
        if seen.mark == 0 || !is_due {
            return Ok(());
        }
        let mut draft = Draft::default();
        draft_time_mark(&mut draft, seen.at);
        self.try_commit(draft).await?;
        self.time_is_marked(seen.at);
        Ok(())
    }
}

/// Adds the mark to a draft: also with the commit that gives a bucket object lock.
pub(super) fn draft_time_mark(draft: &mut Draft, mark: u64) {
    draft.put(Bytes::from_static(KEY), encode(mark));
}

fn encode(mark: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    varint::put(&mut bytes, mark);
    bytes
}

/// What follows is for later releases.
fn decode(bytes: &[u8]) -> Option<u64> {
    varint::take(&mut bytes.strip_prefix(&[VERSION])?)
}
