//! What each call goes through, whatever it asks: no more at once than can be, one at a time for an identifier, no longer than upstream waits;
//! then its line in the log and its part of the metrics.
//!
//! Invariant: work that was begun goes on to its end although nobody waits for it any more, and its identifier is taken until then, so that
//! whoever asks again does not meet it half way.

mod deadline;
mod locks;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tonic::{Code, Response, Status, metadata::MetadataMap};

use self::deadline::time_for;
use self::locks::{Locks, Taken};
use crate::{metrics::Metrics, repeats::Repeats};

/// Calls in progress at most, those that wait included.
pub const MAX_CALLS: usize = 256;
/// How long a call may take unless set: the released sidecar waits for ever, and 60 s are what others allow themselves.
pub const DEFAULT_TIME: Duration = Duration::from_secs(45);
/// How long one call waits for another of the same identifier at most, whatever its own time is.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// Which call, of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Service and method, as metrics have it: `v1alpha1/DriverCreateBucket`.
    pub method: &'static str,
    /// What must not be worked on twice at once: `bucket` or `account`, and its identifier.
    pub subject: (&'static str, &'a str),
}

/// All calls of a driver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    time: Duration,
    room: Arc<Semaphore>,
    locks: Locks,
    metrics: Arc<Metrics>,
    repeats: Repeats,
}

impl Calls {
    /// `time` is how long each may take.
    pub fn new(time: Duration, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            time,
            room: Arc::new(Semaphore::new(MAX_CALLS)),
            locks: Locks::default(),
            metrics,
            repeats: Repeats::default(),
        }))
    }

    /// Has `work` done for a call whose fields were `checked`, in the time that its caller leaves, as its `metadata` says.
    ///
    /// # Errors
    /// What is wrong with the fields, or what `work` answers; `ABORTED` where another call of the same subject takes too long, `UNAVAILABLE`
    /// where this one does. Both mean: again later.
    pub async fn run<T>(
        &self,
        call: Call<'_>,
        metadata: &MetadataMap,
        checked: Result<(), Status>,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
    {
        let began = Instant::now();
        let done = match checked {
            Ok(()) => {
                self.within(call, time_for(metadata, self.0.time), work)
                    .await
            }
            Err(refused) => Err(refused),
        };
        self.tell(call, began.elapsed(), done.as_ref().err());
        done.map(Response::new)
    }

    async fn within<T>(
        &self,
        call: Call<'_>,
        time: Duration,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status>
    where
        T: Send + 'static,
    {
        let room = self.room()?;
        let until = Instant::now() + time;
        let taken = self.take(call.subject, time).await?;
        let working = tokio::spawn(async move {
            let done = work.await;
            drop((taken, room));
            done
        });
        match timeout(until.duration_since(Instant::now()), working).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Status::internal("the driver has failed: see its log")),
            Err(_) => Err(Status::unavailable(format!(
                "not done within {} s; it goes on: ask again",
                time.as_secs()
            ))),
        }
    }

    fn room(&self) -> Result<OwnedSemaphorePermit, Status> {
        let room = Arc::clone(&self.0.room).try_acquire_owned();
        room.map_err(|_| {
            Status::unavailable(format!("{MAX_CALLS} calls are in progress: ask again"))
        })
    }

    async fn take(
        &self,
        (kind, id): (&'static str, &str),
        time: Duration,
    ) -> Result<Taken, Status> {
        let wait = MAX_WAIT.min(time / 2);
        let taken = timeout(wait, self.0.locks.take(format!("{kind} {id}"))).await;
        taken.map_err(|_| {
            Status::aborted(format!(
                "another call for {kind} {id} is in progress: ask again"
            ))
        })
    }

    fn tell(&self, call: Call<'_>, took: Duration, error: Option<&Status>) {
        let code = error.map_or(Code::Ok, Status::code);
        self.0.metrics.called(call.method, code, took);
        let (kind, id) = call.subject;
        let (method, millis) = (call.method, took.as_millis());
        let subject = format!("{method} {id}");
        let Some(status) = error else {
            self.0.repeats.forget(&subject);
            return tracing::info!(method, kind, id, millis, "done");
        };
        let why = status.message();
        if let Some(repeated) = self.0.repeats.heard(&subject, &format!("{code:?} {why}")) {
            tracing::warn!(method, kind, id, millis, ?code, why, repeated, "refused");
        } else {
            tracing::debug!(method, kind, id, millis, ?code, why, "refused again");
        }
    }
}

#[cfg(test)]
mod tests;
