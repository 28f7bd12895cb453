//! `larder scrub`.

use clap::{Args, Subcommand};
use larder_storage::clock::{Clock, SystemClock};

use super::{
    Outcome,
    admin_client::{AdminArgs, AdminClient},
    show,
    table::{Lean, Table, bytes},
};
use crate::admin::scrub::{
    LastVerified, PACE_PATH, PATH, PAUSE_PATH, PaceChange, START_PATH, ScrubStatus, Start,
};

/// Show or steer the reading and verifying of all disks.
#[derive(Debug, Args)]
pub(super) struct ScrubArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what it does, and when each disk and bucket was last read whole.
    Status(ScrubCommand),
    /// Go on with the pass under way, or begin one now.
    Start {
        #[command(flatten)]
        command: ScrubCommand,
        /// Begin anew, whatever is under way.
        #[arg(long)]
        again: bool,
    },
    /// Stop where it is until `start`, also over restarts.
    Pause(ScrubCommand),
    /// Set how fast it may go, also over restarts.
    Pace {
        #[command(flatten)]
        command: ScrubCommand,
        /// Percentage of the time that it takes while clients are served, 1 to 100 [default: as it is].
        #[arg(long, value_name = "PERCENT")]
        share: Option<u8>,
        /// Bytes per second at most, also while nobody is served; 0 for no limit [default: as it is].
        #[arg(long, value_name = "BYTES")]
        max_rate: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct ScrubCommand {
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ScrubArgs) -> Outcome {
    let client = |command: &ScrubCommand| AdminClient::new(&command.server);
    let (command, answer) = match &args.what {
        What::Status(command) => (command, client(command)?.get_bytes(PATH)?),
        What::Start { command, again } => {
            let body = Start { again: *again };
            (command, client(command)?.post_bytes(START_PATH, &body)?)
        }
        What::Pause(command) => (command, client(command)?.post_bytes(PAUSE_PATH, &())?),
        What::Pace {
            command,
            share,
            max_rate,
        } => {
            let body = PaceChange {
                share_percent: *share,
                max_bytes_per_second: *max_rate,
            };
            (command, client(command)?.post_bytes(PACE_PATH, &body)?)
        }
    };
    let now = SystemClock.unix_millis();
    show(&answer, command.json, |status| text(status, now))
}

fn text(status: &ScrubStatus, now: u64) -> String {
    let every = match status.every_seconds {
        Some(seconds) => format!("every byte within {}", days(seconds)),
        None => "only when started".to_owned(),
    };
    let limit = status.pace.max_bytes_per_second;
    let limit = limit.map_or(String::new(), |rate| format!(", at most {}/s", bytes(rate)));
    let mut lines = vec![
        format!("state     {}, {every}", status.state),
        format!(
            "pace      {} % of the time while clients are served{limit}",
            status.pace.share_percent
        ),
    ];
    if let Some(pass) = &status.pass {
        let of = match pass.expected_bytes {
            0 => String::new(),
            expected => format!(" of about {}", bytes(expected)),
        };
        let since = ago(now, pass.started_unix_millis);
        let done = bytes(pass.bytes);
        lines.push(format!(
            "pass      {}: {done}{of}, began {since}",
            pass.stage
        ));
    }
    if let Some(error) = &status.last_error {
        lines.push(format!("error     {error}"));
    }
    lines.push(String::new());
    lines.push(disks(status, now));
    lines.push(buckets(status, now));
    lines.join("\n")
}

fn disks(status: &ScrubStatus, now: u64) -> String {
    let mut table = Table::new([
        ("DISK", Lean::Left),
        ("LAST VERIFIED", Lean::Left),
        ("BYTES", Lean::Right),
        ("DAMAGE", Lean::Right),
        ("NOW", Lean::Right),
        ("DAMAGE", Lean::Right),
        ("LEAKS", Lean::Right),
    ]);
    for disk in &status.disks {
        let [when, size, damage] = last(disk.last.as_ref(), now);
        let (now, found) = (bytes(disk.bytes), disk.damage.to_string());
        let leaks = disk.leaks.to_string();
        table.row([
            disk.directory.clone(),
            when,
            size,
            damage,
            now,
            found,
            leaks,
        ]);
    }
    table.text()
}

fn buckets(status: &ScrubStatus, now: u64) -> String {
    let mut table = Table::new([
        ("BUCKET", Lean::Left),
        ("LAST VERIFIED", Lean::Left),
        ("BYTES", Lean::Right),
        ("DAMAGE", Lean::Right),
    ]);
    for bucket in &status.buckets {
        let [when, size, damage] = last(bucket.last.as_ref(), now);
        table.row([bucket.bucket.clone(), when, size, damage]);
    }
    table.text()
}

fn last(last: Option<&LastVerified>, now: u64) -> [String; 3] {
    match last {
        None => ["never".to_owned(), "-".to_owned(), "-".to_owned()],
        Some(last) => [
            ago(now, last.ended_unix_millis),
            bytes(last.bytes),
            last.damage.to_string(),
        ],
    }
}

fn ago(now: u64, then: u64) -> String {
    let seconds = now.saturating_sub(then) / 1000;
    format!("{} ago", days(seconds))
}

fn days(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::scrub::{BucketScrub, DiskScrub, PassStatus};

    #[test]
    fn people_see_when_each_disk_and_bucket_was_verified() {
        let last = LastVerified {
            ended_unix_millis: 1_000_000,
            bytes: 5 << 30,
            damage: 3,
            ..LastVerified::default()
        };
        let disk = |directory: &str, last| DiskScrub {
            directory: directory.to_owned(),
            last,
            ..DiskScrub::default()
        };
        let status = ScrubStatus {
            state: "running".to_owned(),
            every_seconds: Some(14 * 86_400),
            pass: Some(PassStatus {
                stage: "logs".to_owned(),
                expected_bytes: 1 << 30,
                ..PassStatus::default()
            }),
            disks: vec![disk("/d1", Some(last)), disk("/d2", None)],
            buckets: vec![BucketScrub {
                bucket: "backups".to_owned(),
                last: Some(last),
            }],
            ..ScrubStatus::default()
        };
        let text = text(&status, 1_000_000 + 3 * 86_400_000);
        for line in [
            "state     running, every byte within 14 days",
            "/d1   3 days ago     5.0 GiB       3  0 B       0      0",
            "/d2   never                -       -  0 B       0      0",
            "backups  3 days ago     5.0 GiB       3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line:?} in\n{text}");
        }
        assert!(text.contains("pass      logs: 0 B of about 1.0 GiB"));
    }
}
