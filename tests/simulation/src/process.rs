//! One life of the store: from disks to an open store, as the server does it, but without threads.

use std::sync::Arc;

use larder_storage::{
    clock::Clock,
    disk::{
        DiskOptions, IdentityError, LogDisk, OpenOptions, Role, Roster, open_manual,
        open_newcomer_manual,
    },
    disk_set::{DiskSet, DiskSetParts},
    meta::{
        Meta,
        embedded::{Embedded, RecoveryError, RecoveryReport},
    },
    objects::{Store, StoreOptions, weigh},
    rng::{Rng, SeededRng},
    stripes::{Pool, PoolDisk, PoolOptions},
    upkeep::{Scrub, ScrubSettings, heal::Healer},
};

use crate::{
    clock::SimClock,
    content::{INLINE_MAX_BYTES, MIN_PART_BYTES, digest},
    shape::Shape,
    world::{SimView, World},
};

use parking_lot::Mutex;

/// Disks that are put together; their metadata is not open yet.
#[derive(Debug)]
pub struct Machine {
    /// The disks that are here and are not driven yet, for writing their queues.
    pub disks: Arc<Mutex<Vec<Arc<LogDisk>>>>,
    /// All disks.
    pub pool: Arc<Pool>,
    /// The view.
    pub view: Arc<SimView>,
    cluster: String,
    options: OpenOptions,
    roster: Option<Roster>,
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
    /// Which disks there are.
    pub disk_set: Arc<DiskSet>,
    /// What recovery found.
    pub report: RecoveryReport,
}

/// Switches the machine on and puts the disks of `world` together; `at_boot` meddles with them first.
///
/// # Errors
/// [`IdentityError`], which the simulation expects where it swapped disks.
pub fn boot(
    world: &mut World,
    shape: &Shape,
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
    let staying = opened.disks.iter().filter(|disk| disk.role == Role::Member);
    let pool_options = PoolOptions {
        profile: shape.profile(staying.count()),
        blocking_threads: false,
    };
    let slots = opened.disks.into_iter().map(PoolDisk::from);
    let pool = Pool::new(slots.collect(), pool_options);
    pool.set_inline_max(INLINE_MAX_BYTES);
    Ok(Machine {
        disks: Arc::new(Mutex::new(disks)),
        pool,
        view,
        cluster,
        options,
        roster: Some(opened.roster),
        clock: clock.clone(),
        rng: Arc::clone(rng),
    })
}

impl Machine {
    /// Directories of the disks that were refused or could not be opened.
    pub fn missing(&self) -> Vec<String> {
        let disks = self.pool.disks();
        let missing = disks.iter().filter(|disk| disk.here().is_none());
        missing.map(|disk| disk.location.clone()).collect()
    }

    /// Recovers the metadata and opens the store; `None` if it was opened before.
    ///
    /// # Errors
    /// [`RecoveryError`].
    pub fn open(&mut self) -> Option<impl Future<Output = Result<Process, RecoveryError>> + use<>> {
        let roster = self.roster.take()?;
        let (options, disks) = (self.options.clone(), Arc::clone(&self.disks));
        let (pool, view) = (Arc::clone(&self.pool), Arc::clone(&self.view));
        let (cluster, clock) = (self.cluster.clone(), self.clock.clone());
        let rng = Arc::clone(&self.rng);
        Some(async move {
            let progress = Arc::new(|_| ());
            let (engine, report) =
                Embedded::open(Arc::clone(&pool), view, &cluster, weigh, progress).await?;
            let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&engine));
            let clock: Arc<dyn Clock> = Arc::new(clock);
            let rng: Arc<dyn Rng> = rng;
            let store_options = StoreOptions {
                min_part_bytes: MIN_PART_BYTES,
                ..StoreOptions::default()
            };
            let (clock_of_store, rng_of_store) = (Arc::clone(&clock), Arc::clone(&rng));
            let store = Store::new(
                meta,
                Arc::clone(&pool),
                clock_of_store,
                rng_of_store,
                digest,
            )
            .with_options(store_options);
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
            let mut parts = DiskSetParts::new(&pool, &engine, &healer, roster, options, rng);
            parts.open = Box::new(move |newcomer, options| {
                let disk = open_newcomer_manual(newcomer, options)?;
                disks.lock().push(Arc::clone(&disk));
                Ok(disk)
            });
            Ok(Process {
                disk_set: DiskSet::new(parts),
                store,
                engine,
                pool,
                healer,
                scrub,
                report,
            })
        })
    }
}
