//! `larder heal`.

use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Outcome,
    admin_client::{AdminArgs, AdminClient, decode},
    print, show,
    table::{Lean, Table, bytes},
};
use crate::admin::heal::{
    HealDocument, PACE_PATH, PATH, PAUSE_PATH, PaceChange, START_PATH, WATCH_PATH,
};

/// Show and steer what gives objects back the redundancy that they lost.
#[derive(Debug, Args)]
pub(super) struct HealArgs {
    #[command(subcommand)]
    command: HealCommand,
}

#[derive(Debug, Subcommand)]
enum HealCommand {
    /// Show what lacks redundancy, and how far healing is.
    Status(StatusArgs),
    /// Look at everything now and heal; goes on after a pause.
    Start(SteerArgs),
    /// Stop after what is under way, also over restarts, until `start`.
    Pause(SteerArgs),
    /// Set how fast it goes; remembered over restarts.
    Pace(PaceArgs),
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Show it again every two seconds, with a progress bar, until interrupted.
    #[arg(long)]
    watch: bool,
}

#[derive(Debug, Args)]
struct SteerArgs {
    #[command(flatten)]
    server: AdminArgs,
}

#[derive(Debug, Args)]
struct PaceArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// Share of the time that healing takes while clients are served, in percent. With nobody to
    /// serve it takes all. More heals sooner, and clients wait longer meanwhile.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    share: Option<u8>,
    /// Mebibytes per second that healing reads and writes at most, always; 0 for no limit.
    #[arg(long, value_name = "MIB")]
    max_rate_mib: Option<u64>,
}

pub(super) fn run(args: &HealArgs) -> Outcome {
    match &args.command {
        HealCommand::Status(args) => status(args),
        HealCommand::Start(args) => steer(args, START_PATH),
        HealCommand::Pause(args) => steer(args, PAUSE_PATH),
        HealCommand::Pace(args) => pace(args),
    }
}

fn status(args: &StatusArgs) -> Outcome {
    let client = AdminClient::new(&args.server)?;
    if !args.watch {
        return show(&client.get_bytes(PATH)?, args.json, text);
    }
    let bar = bar();
    let mut shown = Ok(());
    client.get_lines(WATCH_PATH, |line| {
        shown = if args.json {
            print(&String::from_utf8_lossy(line)).map_err(Into::into)
        } else {
            decode(line)
                .map(|document| show_on(&bar, &document))
                .map_err(Into::into)
        };
        match &shown {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    shown
}

fn steer(args: &SteerArgs, path: &str) -> Outcome {
    let client = AdminClient::new(&args.server)?;
    let document: HealDocument = client.post(path, &serde_json::json!({}))?;
    Ok(print(&text(&document))?)
}

fn pace(args: &PaceArgs) -> Outcome {
    let client = AdminClient::new(&args.server)?;
    let change = PaceChange {
        share_percent: args.share,
        max_bytes_per_second: args.max_rate_mib.map(|mib| mib.saturating_mul(1 << 20)),
    };
    let document: HealDocument = client.post(PACE_PATH, &change)?;
    Ok(print(&format!("pace      {}\n", pace_of(&document)))?)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show_on(bar: &ProgressBar, document: &HealDocument) {
    // Records without bytes count as well, and a round with nothing to do is full.
    let weight = |bytes: u64, objects: u64| bytes.saturating_add(objects);
    let total = weight(document.total.bytes, document.total.objects);
    bar.set_length(total.max(1));
    let done = weight(document.done.bytes, document.done.objects);
    bar.set_position(if total == 0 { 1 } else { done });
    bar.set_message(summary(document));
}

/// One line: state, what is done of what, rate, time left.
fn summary(document: &HealDocument) -> String {
    let mut parts = vec![state(document)];
    let (done, total) = (document.done, document.total);
    if total.objects > 0 {
        parts.push(format!("{} of {}", bytes(done.bytes), bytes(total.bytes)));
        parts.push(format!("{} of {} objects", done.objects, total.objects));
    }
    if document.left_to_move_bytes > 0 {
        let left = bytes(document.left_to_move_bytes);
        parts.push(format!("{left} to move to emptier disks"));
    }
    if document.bytes_per_second > 0 {
        parts.push(format!("{}/s", bytes(document.bytes_per_second)));
    }
    if let Some(left) = document.left_seconds {
        parts.push(format!("{} left", time(left)));
    }
    parts.join(", ")
}

fn state(document: &HealDocument) -> String {
    match &document.reason {
        Some(reason) => format!("{} for {reason}", document.state),
        None if document.surveys == 0 => format!("{}, nothing looked at yet", document.state),
        None => document.state.clone(),
    }
}

fn time(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min"),
    }
}

fn pace_of(document: &HealDocument) -> String {
    let pace = document.pace;
    let limit = match pace.max_bytes_per_second {
        Some(limit) => format!("at most {}/s", bytes(limit)),
        None => "no limit".to_owned(),
    };
    let share = pace.share_percent;
    format!("{share} % of the time while clients are served, {limit}")
}

fn text(document: &HealDocument) -> String {
    let count = |objects: u64, size: u64| format!("{objects} objects, {}", bytes(size));
    let healed = document.healed;
    let mut lines = vec![
        format!("state     {}", summary(document)),
        format!("pace      {}", pace_of(document)),
        format!("healed    {}", count(healed.objects, healed.bytes)),
    ];
    let moved = document.moved;
    if moved.objects > 0 {
        let size = bytes(moved.bytes);
        lines.push(format!("levelled  {} shards, {size}", moved.objects));
    }
    let (waiting, lost) = (document.waiting, document.lost);
    if waiting.objects > 0 {
        lines.push(format!(
            "waiting   {}",
            count(waiting.objects, waiting.bytes)
        ));
    }
    if lost.objects > 0 {
        lines.push(format!("lost      {}", count(lost.objects, lost.bytes)));
    }
    if let Some(error) = &document.last_error {
        lines.push(format!("error     {error}"));
    }
    if !document.degraded.is_empty() {
        lines.push(String::new());
        lines.push(levels(document));
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}

fn levels(document: &HealDocument) -> String {
    let mut table = Table::new([
        ("SURVIVES", Lean::Left),
        ("OBJECTS", Lean::Right),
        ("BYTES", Lean::Right),
    ]);
    for level in &document.degraded {
        let survives = match level.spare {
            ..0 => "can't be read now".to_owned(),
            0 => "no further loss".to_owned(),
            1 => "1 further loss".to_owned(),
            spare => format!("{spare} further losses"),
        };
        table.row([survives, level.objects.to_string(), bytes(level.bytes)]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::heal::{LevelDocument, TallyDocument};

    #[test]
    fn the_text_names_each_level_and_what_is_lost() {
        let level = |spare| LevelDocument {
            spare,
            objects: 7,
            bytes: 1024,
        };
        let document = HealDocument {
            state: "waiting".to_owned(),
            reason: Some("disk 3 (/d3)".to_owned()),
            degraded: [-1, 0, 1, 2].map(level).to_vec(),
            lost: TallyDocument {
                objects: 2,
                bytes: 5,
            },
            ..HealDocument::default()
        };
        let text = text(&document);
        for part in [
            "waiting for disk 3 (/d3)",
            "lost      2 objects, 5 B",
            "can't be read now",
            "no further loss",
            "1 further loss ",
            "2 further losses",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn progress_has_rate_and_time_left() {
        let tally = |objects, bytes| TallyDocument { objects, bytes };
        let document = HealDocument {
            state: "healing".to_owned(),
            done: tally(1, 1 << 20),
            total: tally(4, 4 << 20),
            bytes_per_second: 1 << 20,
            left_seconds: Some(3700),
            surveys: 1,
            ..HealDocument::default()
        };
        assert_eq!(
            summary(&document),
            "healing, 1.0 MiB of 4.0 MiB, 1 of 4 objects, 1.0 MiB/s, 1 h 1 min left"
        );
    }
}
