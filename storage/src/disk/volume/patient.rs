//! A volume that is waited for only so long: for the start, when nobody watches yet.
//!
//! What a disk says of itself is read before anything is known about it. An operation on a dead device never comes back; so all of them run
//! on a thread of their own, and who asked waits for the answer or for the end of its patience.
//!
//! Invariant: after one operation that took too long everything fails at once, and the volume stays locked until that one has
//! come back.

use std::{
    fmt,
    sync::{Arc, Weak, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    DiskError, Listed, ReadMode, Space, Volume, VolumeFile, VolumeLock, read_file, refusal,
};
use crate::disk::identity::DISK_FILE;

/// What is read of a volume to see whether it answers.
const PROBE_BYTES: u64 = 1 << 20;

type Job = Box<dyn FnOnce(&dyn Volume) + Send>;

/// A volume, and the thread that works on it.
struct PatientVolume {
    hand: Arc<Hand>,
}

struct Hand {
    location: String,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` once the volume was given up, or closed.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    given_up: Option<String>,
    lock: Option<Weak<dyn VolumeLock>>,
}

/// Keeps the volume locked for whoever holds it, and for the thread that may still work on it.
#[derive(Debug)]
struct SharedLock(#[expect(dead_code, reason = "held, not read")] Arc<dyn VolumeLock>);

impl VolumeLock for SharedLock {}

/// These volumes, waited for no longer than `patience`. Each is asked for its identity at once, so that several that hang take no
/// longer than one.
pub(in crate::disk) fn all_patient(
    volumes: &[Arc<dyn Volume>],
    patience: Duration,
) -> Vec<Arc<dyn Volume>> {
    let volumes: Vec<_> = volumes
        .iter()
        .map(|volume| PatientVolume::new(Arc::clone(volume), patience))
        .collect();
    thread::scope(|scope| {
        for volume in &volumes {
            scope.spawn(|| {
                drop(read_file(volume, DISK_FILE, PROBE_BYTES));
                drop(volume.list(""));
            });
        }
    });
    let volumes = volumes.into_iter();
    volumes
        .map(|volume| Arc::new(volume) as Arc<dyn Volume>)
        .collect()
}

impl PatientVolume {
    fn new(inner: Arc<dyn Volume>, patience: Duration) -> Self {
        let (jobs, work) = mpsc::channel::<Job>();
        let location = inner.location();
        let worker = move || {
            for job in work {
                job(&*inner);
            }
        };
        let thread = thread::Builder::new()
            .name("disk-start".into())
            .spawn(worker);
        let state = match thread {
            Ok(thread) => State {
                jobs: Some(jobs),
                thread: Some(thread),
                ..State::default()
            },
            Err(error) => State {
                given_up: Some(format!("no thread to open it: {error}")),
                ..State::default()
            },
        };
        Self {
            hand: Arc::new(Hand {
                location,
                patience,
                state: Mutex::new(state),
            }),
        }
    }
}

impl fmt::Debug for PatientVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatientVolume")
            .field("location", &self.hand.location)
            .finish_non_exhaustive()
    }
}

impl Drop for PatientVolume {
    /// The thread has let go of everything when this returns, unless it hangs.
    fn drop(&mut self) {
        let thread = {
            let mut state = self.hand.state.lock();
            state.jobs = None;
            state.thread.take()
        };
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

impl Hand {
    fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&dyn Volume) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let (told, result) = mpsc::channel();
        {
            let state = self.state.lock();
            let held = state.lock.as_ref().and_then(Weak::upgrade);
            let job: Job = Box::new(move |volume| {
                let result = work(volume);
                drop(held);
                drop(told.send(result));
            });
            if let Some(why) = &state.given_up {
                return Err(DiskError::Failed(why.clone()));
            }
            let sent = state
                .jobs
                .as_ref()
                .is_some_and(|jobs| jobs.send(job).is_ok());
            if !sent {
                return Err(refusal(what, &self.location, "it is closed".to_owned()));
            }
        }
        match result.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(_) => Err(self.give_up(what)),
        }
    }

    fn give_up(&self, what: &'static str) -> DiskError {
        let mut state = self.state.lock();
        let (location, patience) = (&self.location, self.patience);
        let why = state
            .given_up
            .get_or_insert_with(|| format!("{location}: no answer for {patience:?} ({what})"))
            .clone();
        // Ends when it comes back, if ever.
        state.jobs = None;
        state.thread = None;
        DiskError::Failed(why)
    }
}

impl PatientVolume {
    fn wrap(&self, file: Arc<dyn VolumeFile>) -> Arc<dyn VolumeFile> {
        Arc::new(PatientFile {
            file,
            hand: Arc::clone(&self.hand),
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl Volume for PatientVolume {
    fn location(&self) -> String {
        self.hand.location.clone()
    }

    fn create(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = path.to_owned();
        let file = self
            .hand
            .run("create", move |volume| volume.create(&path))?;
        Ok(self.wrap(file))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = path.to_owned();
        let file = self.hand.run("open", move |volume| volume.open(&path))?;
        Ok(self.wrap(file))
    }

    fn open_uncached(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = path.to_owned();
        let file = self
            .hand
            .run("open", move |volume| volume.open_uncached(&path))?;
        Ok(self.wrap(file))
    }

    fn open_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = path.to_owned();
        let file = self
            .hand
            .run("open", move |volume| volume.open_once(&path))?;
        Ok(self.wrap(file))
    }

    fn create_once(&self, path: &str) -> Result<Arc<dyn VolumeFile>, DiskError> {
        let path = path.to_owned();
        let file = self
            .hand
            .run("create", move |volume| volume.create_once(&path))?;
        Ok(self.wrap(file))
    }

    fn create_dir(&self, path: &str) -> Result<bool, DiskError> {
        let path = path.to_owned();
        self.hand
            .run("create directory", move |volume| volume.create_dir(&path))
    }

    fn list(&self, dir: &str) -> Result<Vec<Listed>, DiskError> {
        let dir = dir.to_owned();
        self.hand.run("list", move |volume| volume.list(&dir))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let path = path.to_owned();
        self.hand.run("remove", move |volume| volume.remove(&path))
    }

    fn rename_durable(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.hand
            .run("rename", move |volume| volume.rename_durable(&from, &to))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), DiskError> {
        let dir = dir.to_owned();
        self.hand
            .run("sync directory", move |volume| volume.sync_dir(&dir))
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.hand.run("statvfs", |volume| volume.space())
    }

    fn lock(&self) -> Result<Box<dyn VolumeLock>, DiskError> {
        let lock: Arc<dyn VolumeLock> = Arc::from(self.hand.run("lock", |volume| volume.lock())?);
        self.hand.state.lock().lock = Some(Arc::downgrade(&lock));
        Ok(Box::new(SharedLock(lock)))
    }
}

struct PatientFile {
    file: Arc<dyn VolumeFile>,
    hand: Arc<Hand>,
}

impl fmt::Debug for PatientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatientFile").finish_non_exhaustive()
    }
}

#[deny(clippy::missing_trait_methods)]
impl VolumeFile for PatientFile {
    fn read_at(&self, buf: &mut [u8], offset: u64, mode: ReadMode) -> Result<usize, DiskError> {
        let (file, length) = (Arc::clone(&self.file), buf.len());
        let read = move |_: &dyn Volume| {
            let mut bytes = vec![0; length];
            let read = file.read_at(&mut bytes, offset, mode)?;
            bytes.truncate(read);
            Ok(bytes)
        };
        let bytes = self.hand.run("read", read)?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let (file, bytes) = (Arc::clone(&self.file), bytes.to_vec());
        self.hand
            .run("write", move |_| file.write_at(&bytes, offset))
    }

    fn start_writeback(&self, _: u64, _: u64) {}

    fn sync_data(&self) -> Result<(), DiskError> {
        let file = Arc::clone(&self.file);
        self.hand.run("sync", move |_| file.sync_data())
    }

    fn len_bytes(&self) -> Result<u64, DiskError> {
        let file = Arc::clone(&self.file);
        self.hand.run("stat", move |_| file.len_bytes())
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), DiskError> {
        let file = Arc::clone(&self.file);
        self.hand.run("truncate", move |_| file.truncate(len_bytes))
    }
}
