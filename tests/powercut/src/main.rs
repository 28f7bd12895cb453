//! Disks that lose power.
//!
//! `larder-powercut DIRECTORY...` mounts an empty file system in memory at each directory and obeys the lines on its standard
//! input. Each is answered by one line, `ok` with numbers or `error` with words. At the end of the input it unmounts all.
//!
//! | line | effect |
//! |---|---|
//! | `cut` | power goes: everything fails with EIO. Answers how many unsynced changes there were |
//! | `on SEED [nothing]` | power is back; what was not synced is partly gone (or wholly). Answers kept and lost changes |
//! | `empty N` | the N-th disk (from 1) is replaced by an empty one |
//! | `lie AREA data\|names` | from now on, syncs of files (or directories) below AREA (`/`: of the root itself) are answered and not done |

mod chance;
mod content;
mod directory;
mod disk;
mod fate;
mod node;
mod serve;

use std::{
    error::Error,
    io::{self, BufRead, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use fuser::{BackgroundSession, Config, MountOption};
use parking_lot::Mutex;

use crate::{
    chance::Chance,
    disk::{Disk, Lie},
    fate::Policy,
    serve::Served,
};

/// Requests of one disk that are served at once. Syncs that are under way hold one each.
const THREADS: usize = 8;

/// Mounts file systems that lose what was not synced when told to.
#[derive(Debug, Parser)]
struct Arguments {
    /// Empty directories to mount disks at.
    #[arg(required = true)]
    directories: Vec<PathBuf>,
    /// How long each sync takes, in microseconds.
    #[arg(long, default_value_t = 2000)]
    sync_delay_micros: u64,
}

type Disks = Vec<Arc<Mutex<Disk>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut disks = Disks::new();
    let mut sessions = Vec::new();
    for directory in &arguments.directories {
        let disk = Arc::new(Mutex::new(Disk::new()));
        let delay = Duration::from_micros(arguments.sync_delay_micros);
        let served = Served::new(Arc::clone(&disk), delay);
        let session = fuser::spawn_mount(served, directory, &mount_options())
            .map_err(|error| format!("mount at {}: {error}", directory.display()))?;
        disks.push(disk);
        sessions.push(session);
    }
    obey(&disks)?;
    for session in sessions {
        BackgroundSession::umount_and_join(session)?;
    }
    Ok(())
}

fn mount_options() -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("larder-powercut".to_owned()),
        MountOption::NoAtime,
    ];
    config.n_threads = Some(THREADS);
    config
}

fn obey(disks: &Disks) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "ok mounted")?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        match command(disks, &line?) {
            Ok(answer) => writeln!(out, "ok {answer}")?,
            Err(error) => writeln!(out, "error {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn command(disks: &Disks, line: &str) -> Result<String, Box<dyn Error>> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words.as_slice() {
        ["cut"] => Ok(cut(disks).to_string()),
        ["on", seed] => Ok(power_on(disks, seed.parse()?, Policy::Any)),
        ["on", seed, "nothing"] => Ok(power_on(disks, seed.parse()?, Policy::Nothing)),
        ["empty", number] => empty(disks, number.parse()?),
        ["lie", area, kind @ ("data" | "names")] => {
            lie(disks, area.trim_matches('/'), *kind == "names");
            Ok(String::new())
        }
        _ => Err(format!("unknown command: {line}").into()),
    }
}

/// Cuts all disks off at one moment. Returns the number of unsynced changes.
fn cut(disks: &Disks) -> usize {
    let mut all: Vec<_> = disks.iter().map(|disk| disk.lock()).collect();
    for disk in &mut all {
        disk.cut();
    }
    all.iter().map(|disk| disk.unsynced_count()).sum()
}

fn power_on(disks: &Disks, seed: u64, policy: Policy) -> String {
    let mut chance = Chance::new(seed);
    let (mut kept, mut lost) = (0, 0);
    for disk in disks {
        let counts = disk.lock().power_on(chance.next(), policy);
        kept += counts.0;
        lost += counts.1;
    }
    format!("{kept} {lost}")
}

fn empty(disks: &Disks, number: usize) -> Result<String, Box<dyn Error>> {
    let disk = number.checked_sub(1).and_then(|index| disks.get(index));
    disk.ok_or("no such disk")?.lock().empty();
    Ok(String::new())
}

fn lie(disks: &Disks, area: &str, names: bool) {
    for disk in disks {
        let area = area.to_owned();
        disk.lock().lie(Lie { area, names });
    }
}
