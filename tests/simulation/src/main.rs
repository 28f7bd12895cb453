//! `larder-sim`: runs seeds of the simulation for as long as asked, and says which one shows a broken promise.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use larder_simulation::{Settings, run};
use larder_storage::clock::{Clock, SystemClock};

/// Run the storage engine in a world whose disks crash, tear, rot and lie, and check every promise
///
/// Each seed is one run, the same on every machine. A run that breaks a promise prints its seed.
#[derive(Debug, Parser)]
#[command(name = "larder-sim", version)]
struct Arguments {
    /// Run these seeds and no others
    #[arg(
        long,
        env = "LARDER_SIM_SEEDS",
        value_delimiter = ',',
        value_name = "SEED"
    )]
    seeds: Vec<u64>,
    /// The first seed, when none are named; drawn from the clock unless set
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// How long to go on, in seconds, when no seeds are named
    #[arg(long, env = "LARDER_SIM_SECONDS", default_value_t = 120)]
    seconds: u64,
    /// Steps of each run
    #[arg(long, default_value_t = Settings::new(0).steps)]
    steps: u64,
    /// Show the store's own log
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.log {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init();
    }
    match soak(&arguments) {
        Ok(runs) => {
            say(&format!("{runs} passed, 0 failed"));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&failure);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the result is what this program is for"
)]
fn say(text: &str) {
    println!("{text}");
}

fn soak(arguments: &Arguments) -> Result<u64, String> {
    let clock = SystemClock;
    let first = arguments.from.unwrap_or_else(|| clock.unix_millis());
    let bar = ProgressBar::new(arguments.seconds);
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {msg}") {
        bar.set_style(style);
    }
    let seeds: Box<dyn Iterator<Item = u64>> = if arguments.seeds.is_empty() {
        Box::new(first..)
    } else {
        Box::new(arguments.seeds.clone().into_iter())
    };
    let (mut runs, mut answered, mut power_cuts, mut changes) = (0, 0, 0, 0);
    for seed in seeds {
        let elapsed = bar.elapsed();
        if arguments.seeds.is_empty() && elapsed >= Duration::from_secs(arguments.seconds) {
            break;
        }
        let steps = arguments.steps;
        let settings = Settings {
            steps,
            ..Settings::new(seed)
        };
        let run = std::panic::catch_unwind(|| run(settings));
        let summary = run
            .map_err(|_| {
                format!("seed {seed} panicked\nreplay it with: LARDER_SIM_SEEDS={seed} make sim")
            })?
            .map_err(|failure| failure.to_string())?;
        runs += 1;
        answered += summary.answered;
        power_cuts += summary.power_cuts;
        changes += summary.changes;
        bar.set_position(elapsed.as_secs());
        bar.set_message(format!(
            "{runs} runs, {answered} operations, {power_cuts} power cuts, {changes} changes of disks, at seed {seed}"
        ));
    }
    bar.finish();
    Ok(runs)
}
