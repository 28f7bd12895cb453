//! One life of the store: from disks to an open store, as the server does it, but without threads.

use std::sync::Arc;

use larder_erasure::Profile;
use larder_storage::{
    clock::Clock,
    disk::{DiskOptions, IdentityError, LogDisk, OpenOptions, open_manual},
    meta::{
        Meta,
        embedded::{Embedded, RecoveryError, RecoveryReport},
    },
    objects::{Store, StoreOptions},
    rng::{Rng, SeededRng},
    stripes::{Pool, PoolDisk, PoolOptions},
    upkeep::{Scrub, ScrubSettings, heal::Healer},
};

use crate::{
    clock::SimClock,
    content::{INLINE_MAX_BYTES, MIN_PART_BYTES, digest},
    world::{SimView, World},
};

/// Disks that are put together; their metadata is not open yet.
#[derive(Debug)]
pub struct Machine {
    /// The disks that are here, for writing their queues.
    pub disks: Vec<Arc<LogDisk>>,
    /// All disks.
    pub pool: Arc<Pool>,
    /// The view.
    pub view: Arc<SimView>,
    cluster: String,
    clock: SimClock,
    rng: Arc<SeededRng>,
}

/// An open store.
#[derive(Clone, Debug)]
pub struct Process {
    /// S3 semantics.
    pub store: Store,
    /// The metadata engine.
    pub engine: Arc<Embedded>,
    /// The disks.
    pub pool: Arc<Pool>,
    /// What heals.
    pub healer: Arc<Healer>,
    /// What reads and verifies the disks.
    pub scrub: Arc<Scrub>,
    /// What recovery found.
    pub report: RecoveryReport,
}

/// Switches the machine on and puts the disks of `world` together; `at_boot` meddles with them first.
///
/// # Errors
/// [`IdentityError`], which the simulation expects where it swapped disks.
pub fn boot(
    world: &mut World,
    clock: &SimClock,
    rng: &Arc<SeededRng>,
    at_boot: impl FnOnce(&World),
) -> Result<Machine, IdentityError> {
    let (volumes, view) = world.boot();
    at_boot(world);
    let options = OpenOptions {
        disk: DiskOptions {
            segment_bytes: 64 << 10,
            reserve_bytes: Some(256 << 10),
        },
        profile: None,
        clock: Arc::new(clock.clone()),
        patience: None,
    };
    let (opened, disks) = open_manual(volumes, &options, &**rng)?;
    let cluster = format!("{:032x}", opened.cluster_id);
    let slots = opened.disks.into_iter().map(PoolDisk::from);
    let profile = Profile::new(2, 2).unwrap_or_else(|_| unreachable!("2+2 is a profile"));
    let options = PoolOptions {
        profile,
        blocking_threads: false,
    };
    let pool = Pool::new(slots.collect(), options);
    pool.set_inline_max(INLINE_MAX_BYTES);
    Ok(Machine {
        disks,
        pool,
        view,
        cluster,
        clock: clock.clone(),
        rng: Arc::clone(rng),
    })
}

impl Machine {
    /// Places of the disks that were refused or could not be opened.
    pub fn slots_missing(&self) -> Vec<usize> {
        let disks = self.pool.disks();
        let missing = disks.iter().enumerate();
        missing
            .filter(|(_, disk)| disk.here().is_none())
            .map(|(slot, _)| slot)
            .collect()
    }

    /// Recovers the metadata and opens the store.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn open(&self) -> impl Future<Output = Result<Process, RecoveryError>> + use<> {
        let (pool, view) = (Arc::clone(&self.pool), Arc::clone(&self.view));
        let (cluster, clock) = (self.cluster.clone(), self.clock.clone());
        let rng = Arc::clone(&self.rng);
        async move {
            let progress = Arc::new(|_| ());
            let (engine, report) =
                Embedded::open(Arc::clone(&pool), view, &cluster, progress).await?;
            let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&engine));
            let clock: Arc<dyn Clock> = Arc::new(clock);
            let rng: Arc<dyn Rng> = rng;
            let options = StoreOptions {
                min_part_bytes: MIN_PART_BYTES,
                ..StoreOptions::default()
            };
            let store = Store::new(meta, Arc::clone(&pool), Arc::clone(&clock), rng, digest)
                .with_options(options);
            let healer = Healer::new(Arc::clone(&engine), store.clone(), Arc::clone(&clock));
            let (engine_of_scrub, store_of_scrub) = (Arc::clone(&engine), store.clone());
            let settings = ScrubSettings::default();
            let scrub = Scrub::new(
                engine_of_scrub,
                store_of_scrub,
                Arc::clone(&pool),
                clock,
                settings,
            );
            Ok(Process {
                store,
                engine,
                pool,
                healer,
                scrub,
                report,
            })
        }
    }
}
