//! What keeps a store in shape while it serves: checkpoints, reclaim, the garbage of deleted objects and uploads.

pub mod heal;
pub mod lifecycle;
mod pace;
pub mod scrub;
mod verify;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

pub use verify::{Verification, VerifiedObject, VerifyOutcome, VerifyStep};

pub use lifecycle::Lifecycles;
pub use pace::{ClientLoad, Pace, PaceSettings, Serving};
pub use scrub::{Scrub, ScrubSettings};

use tokio::sync::watch;

use crate::{
    clock::Clock,
    meta::{embedded::Embedded, view::ViewSource},
    objects::Store,
    stripes::Pool,
};

/// When upkeep does what.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepSettings {
    /// How often it looks for work. Default 1 s: shorter finds garbage sooner, for a little CPU.
    pub interval: Duration,
    /// A checkpoint is made when this many log bytes came since the last one. Default 64 MiB: more
    /// makes starts after a crash longer, less makes checkpoints more frequent.
    pub checkpoint_bytes: u64,
    /// A checkpoint is made after this time if anything came at all. Default 60 s.
    pub checkpoint_age: Duration,
    /// Garbage tasks handled per look. Default 256.
    pub sweep_limit: usize,
    /// When the disks are scrubbed.
    pub scrub: ScrubSettings,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            checkpoint_bytes: 64 << 20,
            checkpoint_age: Duration::from_mins(1),
            sweep_limit: 256,
            scrub: ScrubSettings::default(),
        }
    }
}

/// Segments rewritten per look at most, so that checkpoints and sweeps get their turn.
const RECLAIMS_PER_LOOK: usize = 8;

/// Looks whether disks and view answer, on a thread of its own: it works also where all others hang. Stops when it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    patience_millis: Arc<AtomicU64>,
    _stop: mpsc::Sender<()>,
}

impl Watchdog {
    /// Gives up disks of `pool` and views of `views` with an operation that takes longer than `patience`. See [`Pool::look_after`].
    ///
    /// # Errors
    /// The system's, which has no thread left.
    pub fn start(
        pool: &Arc<Pool>,
        views: &Arc<dyn ViewSource>,
        patience: Duration,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let patience_millis = Arc::new(AtomicU64::new(millis(patience)));
        let (pool, views) = (Arc::downgrade(pool), Arc::downgrade(views));
        let asked = Arc::clone(&patience_millis);
        let watch = move || loop {
            let patience = Duration::from_millis(asked.load(Ordering::Relaxed));
            let pause = (patience / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            if stopped.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let (Some(pool), Some(views)) = (pool.upgrade(), views.upgrade()) else {
                return;
            };
            pool.look_after(patience);
            if let Some(watch) = views.watch() {
                watch.look_after(patience);
            }
        };
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(watch)?;
        Ok(Self {
            patience_millis,
            _stop: stop,
        })
    }

    /// From now on has no more patience than this.
    pub fn hurry(&self, patience: Duration) {
        self.patience_millis
            .fetch_min(millis(patience), Ordering::Relaxed);
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How long to wait before a view that could not be rebuilt is tried again.
const REBUILD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Rebuilds the metadata view at another of its places whenever it fails, for ever.
pub async fn keep_view(engine: Arc<Embedded>, views: Arc<dyn ViewSource>, clock: Arc<dyn Clock>) {
    loop {
        engine.view_failed().await;
        tracing::warn!(
            "rebuilding the metadata view from the logs; requests are answered 503 meanwhile"
        );
        match engine
            .rebuild_view(Arc::clone(&views), Arc::new(|_| ()))
            .await
        {
            Ok(report) => tracing::warn!(?report, "the metadata view is rebuilt"),
            Err(error) => {
                tracing::error!(%error, "the metadata view could not be rebuilt, trying again");
                clock.sleep(REBUILD_AGAIN_AFTER).await;
            }
        }
    }
}

/// Looks for work until `stop` turns true. Failures are logged and tried again at the next look.
pub async fn run(
    engine: Arc<Embedded>,
    store: Store,
    clock: Arc<dyn Clock>,
    settings: UpkeepSettings,
    mut stop: watch::Receiver<bool>,
) {
    let mut last_checkpoint = clock.monotonic();
    while !*stop.borrow() {
        let bytes = engine.bytes_since_checkpoint();
        let age = clock.monotonic().saturating_sub(last_checkpoint);
        if bytes >= settings.checkpoint_bytes || (bytes > 0 && age >= settings.checkpoint_age) {
            match engine.checkpoint().await {
                Ok(_) => last_checkpoint = clock.monotonic(),
                Err(error) => tracing::warn!(%error, "checkpoint failed"),
            }
        }
        sweep(&store, &settings).await;
        mark_time(&store).await;
        reclaim(&engine).await;
        tokio::select! {
            () = clock.sleep(settings.interval) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn sweep(store: &Store, settings: &UpkeepSettings) {
    if let Err(error) = store.sweep_once(settings.sweep_limit).await {
        tracing::warn!(%error, "garbage not swept");
    }
}

async fn mark_time(store: &Store) {
    if let Err(error) = store.mark_time(false).await {
        tracing::warn!(%error, "time not marked");
    }
}

async fn reclaim(engine: &Arc<Embedded>) {
    for _ in 0..RECLAIMS_PER_LOOK {
        match engine.reclaim_once().await {
            Ok(Some(done)) => tracing::debug!(
                freed_bytes = done.freed_bytes,
                moved = done.moved,
                "segment reclaimed"
            ),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "segment not reclaimed");
                return;
            }
        }
    }
}
