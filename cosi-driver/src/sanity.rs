//! `cosi-sanity`: asks a driver, any driver, what upstream's sidecar will ask it, and worse: everything twice, much at once, in the wrong order, with fields
//! empty or too long, and across a crash. See `docs/cosi-sanity.md`.
//!
//! | module | what it is |
//! |---|---|
//! | [`args`] | the command line |
//! | [`call`] | one call, for scripts |
//! | [`checks`] | what is asked, and where it is written that it must be so |
//! | [`driver`] | a driver's socket |
//! | [`info`] | what v1alpha2's sidecar looks for in answers |
//! | [`report`] | what came of it |
//! | [`s3`] | just enough of S3 to use what was granted |
//! | [`world`] | what the checks work with |
//!
//! Invariant: nothing is asked that a cluster could not ask, and what was made is removed. A secret is printed by `call` alone.

pub mod args;
pub mod call;
pub mod checks;
pub mod driver;
pub mod info;
pub mod report;
pub mod s3;
pub mod world;

use std::process::ExitCode;

use clap::Parser as _;

use self::{
    args::{Cli, Command, RunArgs},
    report::Report,
    world::World,
};
use crate::cli::{Failure, print};

/// Exit status where a check failed.
const EXIT_CHECK_FAILED: u8 = 1;
/// Exit status where nothing could be checked.
const EXIT_TROUBLE: u8 = 2;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ran = match &cli.command {
        Some(Command::List(args)) => checks::list(args.api, args.json).map(|()| ExitCode::SUCCESS),
        Some(Command::Call(args)) => block_on(call::run(args)),
        None => block_on(run(&cli.run)),
    };
    ran.unwrap_or_else(|error| {
        let text = error.to_string().replace('\n', " ");
        drop(std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("cosi-sanity: {text}\n"),
        ));
        ExitCode::from(EXIT_TROUBLE)
    })
}

fn block_on(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

async fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let world = World::open(args).await?;
    let mut report = Report::new(args.json);
    for check in checks::of(args.api) {
        if args.wants(check.name) {
            report.add(check, (check.run)(&world).await)?;
        }
    }
    let left = world.clean_up().await;
    report.end(&left)?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_CHECK_FAILED)
    })
}

/// Prints a line of a result.
fn say(text: &str) -> Result<(), Failure> {
    Ok(print(&format!("{text}\n"))?)
}
