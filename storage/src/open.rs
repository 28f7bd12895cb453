//! Putting the layers together: from directories to a store.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use larder_erasure::Profile;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    disk::{self, DiskNo, Health, IdentityError, LocalVolume, Opened, Role, Roster, Space},
    disk_set::{ChangeError, DiskSet, DiskSetParts},
    meta::{
        Meta,
        embedded::{Damage, Embedded, Progress, RecoveryError, RecoveryReport},
        keys::HEAL,
        view::{Engine, Places, ViewPlaces, ViewSettings, ViewSource, in_background},
    },
    objects::{Store, pages::Pages, weigh},
    rng::Rng,
    stripes::{Pool, PoolDisk, PoolOptions},
    upkeep::{self, Lifecycles, Scrub, ScrubSettings, UpkeepSettings, Watchdog, heal::Healer},
};

/// How long a disk may take for an operation while the store is closed.
const CLOSING_DISK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long closing may take.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a disk may take for an operation unless set.
pub const DEFAULT_DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// What to open.
#[derive(Clone, Debug)]
pub struct OpenSettings {
    /// One directory per disk, in a fixed order.
    pub data: Vec<PathBuf>,
    /// How new blobs are coded. `None`: as since the cluster was made, and by number of disks when it is.
    pub profile: Option<Profile>,
    /// The view's engine.
    pub engine: Engine,
    /// Where the view is; in the first good disk's directory where `None`.
    pub view_dir: Option<PathBuf>,
    /// How disks are opened.
    pub disks: disk::OpenOptions,
    /// A disk with an operation that takes longer is given up until the next start, at the start as later; a view is then built elsewhere.
    /// [`DEFAULT_DISK_TIMEOUT`]: shorter lets those who wait for a hanging disk go on sooner, longer forgives devices that pause
    /// (sleeping disks, a fail-over behind them).
    pub disk_timeout: Duration,
    /// MD5, for the `ETag` of multipart objects: this crate hashes nothing but its own checksums.
    pub md5: fn(&[u8]) -> [u8; 16],
}

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory is not what it should be.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The logs can't be brought together.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// More shards than disks.
    #[error("profile {profile} needs {} disks, {disks} are given", profile.total())]
    ProfileTooWide {
        /// The profile.
        profile: Profile,
        /// The number of directories.
        disks: usize,
    },
    /// No directory at all.
    #[error("no data directory is given")]
    NoDisks,
    /// The system gives no thread.
    #[error("no thread to watch the disks: {0}")]
    Thread(#[from] std::io::Error),
}

/// An open store and what runs beside it.
#[derive(Debug)]
pub struct Storage {
    store: Store,
    engine: Arc<Embedded>,
    pool: Arc<Pool>,
    scrub: Arc<Scrub>,
    lifecycles: Arc<Lifecycles>,
    clock: Arc<dyn Clock>,
    reports: Vec<String>,
    recovery: RecoveryReport,
    views: Arc<dyn ViewSource>,
    watchdog: Watchdog,
    disk_set: Arc<DiskSet>,
    dirs: DataDirs,
    healer: Arc<Healer>,
    stop: watch::Sender<bool>,
}

/// Where the disks' directories are.
type DataDirs = Arc<RwLock<HashMap<DiskNo, PathBuf>>>;

/// One disk, for people.
#[derive(Clone, Debug)]
pub struct DiskStatus {
    /// Position in the configuration, from 0.
    pub slot: usize,
    /// Its number.
    pub number: DiskNo,
    /// What it is there for.
    pub role: Role,
    /// Its directory.
    pub location: String,
    /// Whether it can be used, or why not.
    pub health: Health,
    /// Its space, if it is here.
    pub space: Option<Space>,
    /// Bytes amid its log that the start found damaged.
    pub damaged_log_bytes: u64,
    /// It came back as it was at an earlier time, and is not up to date yet.
    pub is_outdated: bool,
}

/// The state of a store, for people.
#[derive(Clone, Debug)]
pub struct Status {
    /// How new blobs are coded.
    pub profile: Profile,
    /// The disks in order of slot.
    pub disks: Vec<DiskStatus>,
    /// Objects and parts that lack shards.
    pub degraded_objects: u64,
    /// Blocks that were missing or rotten when a reader wanted them, since the start.
    pub damaged_reads: u64,
    /// Whether enough disks are good for writing.
    pub writable: bool,
}

/// The profile for a number of disks, unless one is set.
pub fn default_profile(disks: usize) -> Option<Profile> {
    let (data, parity) = match disks {
        0 => return None,
        1 => (1, 0),
        2 => (1, 1),
        3 => (2, 1),
        4 => (2, 2),
        5 => (3, 2),
        6 => (4, 2),
        7 => (5, 2),
        8 => (5, 3),
        9 => (6, 3),
        10 => (7, 3),
        11 => (8, 3),
        _ => (8, 4),
    };
    Profile::new(data, parity).ok()
}

/// Opens the disks, brings the metadata up to date, and starts upkeep. What is served afterwards is durable.
///
/// # Errors
/// [`OpenError`]; nothing was changed but what a further try needs as well.
pub async fn open(
    settings: OpenSettings,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<Storage, OpenError> {
    let Parts {
        pool,
        views,
        watchdog,
        cluster,
        reports,
        roster,
        dirs,
    } = Parts::open(&settings, &rng).await?;
    let opened = Embedded::open(
        Arc::clone(&pool),
        Arc::clone(&views),
        &cluster,
        weigh,
        progress,
    );
    let (engine, recovery) = opened.await?;
    let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&engine));
    let store = Store::new(
        meta,
        Arc::clone(&pool),
        Arc::clone(&clock),
        Arc::clone(&rng),
        settings.md5,
    );
    let healer = Healer::new(Arc::clone(&engine), store.clone(), Arc::clone(&clock));
    healer.load().await;
    let parts = DiskSetParts::new(&pool, &engine, &healer, roster, settings.disks, rng);
    let scrub = Scrub::new(
        Arc::clone(&engine),
        store.clone(),
        Arc::clone(&pool),
        Arc::clone(&clock),
        ScrubSettings::default(),
    );
    let meta: Arc<dyn Meta> = Arc::new(Arc::clone(&engine));
    let lifecycles = Lifecycles::new(meta, store.clone(), Arc::clone(&clock));
    let (stop, _) = watch::channel(false);
    Ok(Storage {
        store,
        engine,
        pool,
        scrub,
        lifecycles,
        clock,
        reports,
        recovery,
        views,
        watchdog,
        disk_set: DiskSet::new(parts),
        dirs,
        healer,
        stop,
    })
}

/// What a store is put together from.
pub(crate) struct Parts {
    pub(crate) pool: Arc<Pool>,
    pub(crate) views: Arc<dyn ViewSource>,
    pub(crate) watchdog: Watchdog,
    pub(crate) cluster: String,
    pub(crate) reports: Vec<String>,
    roster: Roster,
    dirs: DataDirs,
}

impl Parts {
    /// Opens the disks, and has them watched.
    pub(crate) async fn open(
        settings: &OpenSettings,
        rng: &Arc<dyn Rng>,
    ) -> Result<Self, OpenError> {
        let count = settings.data.len();
        let too_wide = |profile: Profile| profile.total() > count;
        if count == 0 {
            return Err(OpenError::NoDisks);
        }
        if let Some(profile) = settings.profile.filter(|profile| too_wide(*profile)) {
            return Err(OpenError::ProfileTooWide {
                profile,
                disks: count,
            });
        }
        let mut opened = open_disks(settings, rng).await?;
        // A disk that is on its way out should not widen what is written until it is.
        let staying = opened.disks.iter().filter(|disk| disk.role == Role::Member);
        let staying = staying.count();
        let profile = match settings.profile {
            Some(profile) => profile,
            None => remembered_profile(&mut opened, staying).ok_or(OpenError::NoDisks)?,
        };
        let dirs = opened.disks.iter().zip(&settings.data);
        let dirs: HashMap<_, _> = dirs.map(|(slot, dir)| (slot.number, dir.clone())).collect();
        let dirs = Arc::new(RwLock::new(dirs));
        let pool = Pool::new(
            opened.disks.into_iter().map(PoolDisk::from).collect(),
            PoolOptions {
                profile,
                blocking_threads: true,
            },
        );
        let views = view_places(&pool, settings, Arc::clone(&dirs));
        let watchdog = Watchdog::start(&pool, &views, settings.disk_timeout)?;
        Ok(Self {
            pool,
            views,
            watchdog,
            cluster: format!("{:032x}", opened.cluster_id),
            reports: opened.reports,
            roster: opened.roster,
            dirs,
        })
    }
}

/// The profile that the cluster has had from its beginning, whatever disks have come since.
fn remembered_profile(opened: &mut Opened, staying: usize) -> Option<Profile> {
    let default = default_profile(staying)?;
    let known = opened.profile.as_deref();
    let known = known.and_then(|profile| profile.parse::<Profile>().ok());
    let Some(known) = known else {
        // Made by a release that did not write it down: so it is from the next change of the disks on.
        opened.roster.remember_profile(&default.to_string());
        return Some(default);
    };
    if known.total() > staying {
        opened.reports.push(format!(
            "this cluster began with profile {known}, for which {staying} disks are too few: new objects get {default}"
        ));
        return Some(default);
    }
    if known != default {
        opened.reports.push(format!(
            "new objects get profile {known}, as since the beginning of this cluster; for {staying} disks --profile {default} is another choice"
        ));
    }
    Some(known)
}

/// Off the async threads: it blocks, for as long as a disk may take.
async fn open_disks(settings: &OpenSettings, rng: &Arc<dyn Rng>) -> Result<Opened, OpenError> {
    let (data, rng) = (settings.data.clone(), Arc::clone(rng));
    let options = disk::OpenOptions {
        patience: Some(settings.disk_timeout),
        profile: settings
            .profile
            .or_else(|| default_profile(settings.data.len()))
            .map(|profile| profile.to_string()),
        ..settings.disks.clone()
    };
    let work = move || disk::open_local(&data, &options, &*rng);
    match tokio::task::spawn_blocking(work).await {
        Ok(opened) => Ok(opened?),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Where the view may be: at the place that is set, or on the first disk that is good.
fn view_places(pool: &Arc<Pool>, settings: &OpenSettings, dirs: DataDirs) -> Arc<dyn ViewSource> {
    let view = ViewSettings::default();
    let clock = Arc::clone(&settings.disks.clock);
    if let Some(dir) = &settings.view_dir {
        return Arc::new(ViewPlaces::new(settings.engine, view, dir.clone(), clock));
    }
    let pool = Arc::clone(pool);
    let places = DiskPlaces { pool, dirs };
    Arc::new(ViewPlaces::new(settings.engine, view, places, clock))
}

/// A view on a disk, in `view` of its directory.
struct DiskPlaces {
    pool: Arc<Pool>,
    dirs: DataDirs,
}

impl DiskPlaces {
    fn dir_of(&self, disk: &PoolDisk) -> Option<PathBuf> {
        Some(self.dirs.read().get(&disk.number)?.join("view"))
    }
}

impl Places for DiskPlaces {
    /// A disk that is on its way out comes last.
    fn dirs(&self) -> Vec<PathBuf> {
        let disks = self.pool.disks();
        let of = |role: Role| disks.iter().filter(move |disk| disk.role == role);
        let disks = of(Role::Member).chain(of(Role::Draining));
        disks.filter_map(|disk| self.dir_of(disk)).collect()
    }

    fn is_usable(&self, dir: &Path) -> bool {
        let disks = self.pool.disks();
        let mut disks = disks.iter();
        let disk = disks.find(|disk| self.dir_of(disk).is_some_and(|place| place == dir));
        disk.and_then(PoolDisk::here).is_some_and(|disk| {
            // Nothing may be put into a directory that has become somebody else's.
            disk.look();
            !matches!(disk.health(), Health::Failed(_))
        })
    }
}

impl Storage {
    /// What reads and verifies the disks; it works while [`Storage::upkeep`] runs.
    pub fn scrub(&self) -> &Arc<Scrub> {
        &self.scrub
    }

    /// What applies the lifecycle rules of buckets, in [`Storage::upkeep`].
    pub fn lifecycles(&self) -> &Arc<Lifecycles> {
        &self.lifecycles
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How new blobs are coded.
    pub fn profile(&self) -> Profile {
        self.pool.profile()
    }

    /// What the operator should know about the disks: replaced, missing, added.
    pub fn reports(&self) -> &[String] {
        &self.reports
    }

    /// What heals the store, in [`Storage::upkeep`]: how it stands, and setting its pace.
    pub fn healer(&self) -> &Arc<Healer> {
        &self.healer
    }

    /// What opening found in the logs.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// Makes an empty directory a further disk. When it returns, new objects go there too.
    ///
    /// # Errors
    /// [`ChangeError`]: it is no disk; the same directory may be handed in again.
    pub async fn add_disk(&self, dir: &Path) -> Result<DiskNo, ChangeError> {
        let number = self.disk_set.add(Arc::new(LocalVolume::new(dir))).await?;
        self.dirs.write().insert(number, dir.to_owned());
        Ok(number)
    }

    /// Puts an empty directory in the place of a disk that failed or is missing.
    ///
    /// # Errors
    /// [`ChangeError`]: the old one keeps its place; the same directory may be handed in again.
    pub async fn replace_disk(&self, number: DiskNo, dir: &Path) -> Result<DiskNo, ChangeError> {
        let volume = Arc::new(LocalVolume::new(dir));
        let new = self.disk_set.replace(number, volume).await?;
        self.dirs.write().insert(new, dir.to_owned());
        Ok(new)
    }

    /// Forgets a disk on which nothing is left; with `force` also one on which there is. The metadata view leaves it, too.
    ///
    /// # Errors
    /// [`ChangeError`]: it stays.
    pub async fn remove_disk(&self, number: DiskNo, force: bool) -> Result<(), ChangeError> {
        let dir = self.dirs.read().get(&number).map(|dir| dir.join("view"));
        self.disk_set.remove(number, force).await?;
        if dir.is_some() && self.views.place() == dir {
            self.engine.leave_view("its disk was removed");
        }
        self.dirs.write().remove(&number);
        Ok(())
    }

    /// Draining disks and taking it back.
    pub fn disk_set(&self) -> &Arc<DiskSet> {
        &self.disk_set
    }

    /// Runs upkeep until [`Storage::close`]. To be spawned.
    pub fn upkeep(&self, settings: UpkeepSettings) -> impl Future<Output = ()> + Send + 'static {
        let clock = Arc::clone(&self.clock);
        let (engine, store) = (Arc::clone(&self.engine), self.store.clone());
        let (stop, from) = (self.stop.subscribe(), self.recovery.orphans_from);
        let work = async move {
            match store.sweep_orphans(from).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "extents of unfinished writes removed"),
                Err(error) => tracing::warn!(%error, "extents of unfinished writes not removed"),
            }
            upkeep::run(engine, store, clock, settings, stop).await;
        };
        let heal = Arc::clone(&self.healer).run(self.stop.subscribe());
        let lifecycles = Arc::clone(&self.lifecycles).run(self.stop.subscribe());
        let work = async move {
            tokio::join!(work, heal, lifecycles);
        };
        let keep_view = upkeep::keep_view(
            Arc::clone(&self.engine),
            Arc::clone(&self.views),
            Arc::clone(&self.clock),
        );
        self.scrub.set(settings.scrub);
        let (scrub, stop) = (Arc::clone(&self.scrub), self.stop.subscribe());
        let work = async move {
            tokio::join!(work, scrub.run(stop));
        };
        in_background(async move {
            tokio::select! {
                () = work => {}
                () = keep_view => {}
            }
        })
    }

    /// Disks, space and degraded objects. Counts the latter by scanning their queue.
    ///
    /// # Errors
    /// The metadata engine's.
    pub async fn status(&self) -> Result<Status, crate::meta::MetaError> {
        let spaces = self.pool.spaces().await;
        let disks = self.pool.disks();
        let damages = &self.recovery.damages;
        let outdated = self.engine.outdated_disks();
        let status = |disk: &PoolDisk| {
            let space = spaces.get(&disk.number).copied();
            DiskStatus {
                is_outdated: outdated.contains(&disk.number),
                ..disk_status(disk, space, damages)
            }
        };
        let disks: Vec<_> = disks.iter().map(status).collect();
        let good = disks
            .iter()
            .filter(|disk| disk.health == Health::Good)
            .count();
        Ok(Status {
            profile: self.pool.profile(),
            disks,
            degraded_objects: self.count_degraded().await?.max(self.surveyed_degraded()),
            damaged_reads: self.pool.damaged_reads(),
            writable: good >= Pool::write_quorum(self.pool.profile()),
        })
    }

    /// The disks that are emptier than they should be, and how many bytes of shards each gets before the others do.
    pub fn wanting(&self) -> BTreeMap<DiskNo, u64> {
        self.pool.favoured()
    }

    /// Where the disks are that can be used.
    pub fn good_locations(&self) -> Vec<String> {
        let disks = self.pool.disks();
        let good = disks
            .iter()
            .filter(|disk| !matches!(disk.health(), Health::Failed(_)));
        good.map(|disk| disk.location.clone()).collect()
    }

    /// Whether enough disks are good for commits. Full disks are: they take deletes, and who can't delete can't make room. Cheap.
    pub fn is_writable(&self) -> bool {
        let good = |disk: &&PoolDisk| !matches!(disk.health(), Health::Failed(_));
        let count = self.pool.disks().iter().filter(good).count();
        count >= Pool::write_quorum(self.pool.profile())
    }

    fn surveyed_degraded(&self) -> u64 {
        let status = self.healer.status();
        status.degraded.values().map(|level| level.objects).sum()
    }

    async fn count_degraded(&self) -> Result<u64, crate::meta::MetaError> {
        const PAGE: usize = 1000;
        let (from, to) = (vec![HEAL], vec![HEAL + 1]);
        let mut pages = Pages::new(&self.engine, from, to, PAGE);
        let mut count = 0;
        while pages.next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// Stops upkeep, makes a last checkpoint so that the next start is quick, and closes the disks. What was
    /// acknowledged is durable without it. A disk that does not answer is given up soon, and after half a minute nothing is waited for.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        self.watchdog.hurry(CLOSING_DISK_TIMEOUT);
        tokio::select! {
            () = self.close_down() => {}
            () = self.clock.sleep(CLOSING_TIMEOUT) => {
                tracing::warn!("closing takes too long: left to the next start");
            }
        }
    }

    async fn close_down(&self) {
        if let Err(error) = self.store.mark_time(true).await {
            tracing::warn!(%error, "time not marked");
        }
        if let Err(error) = self.engine.checkpoint().await {
            tracing::warn!(%error, "last checkpoint failed");
        }
        self.pool.close().await;
    }
}

fn disk_status(disk: &PoolDisk, space: Option<Space>, damages: &[Damage]) -> DiskStatus {
    DiskStatus {
        slot: disk.slot,
        number: disk.number,
        role: disk.role,
        location: disk.location.clone(),
        health: disk.health(),
        space,
        damaged_log_bytes: damages
            .iter()
            .filter(|damage| damage.disk == disk.number)
            .map(|damage| damage.bytes)
            .sum(),
        is_outdated: false,
    }
}
