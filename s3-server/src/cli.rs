//! The command line.
//!
//! Invariant: the only place that prints. Results go to stdout; an error is one line on stderr and
//! a non-zero exit.

mod account;
pub(crate) mod admin_client;
mod bucket;
mod disk;
mod heal;
mod rebuild;
mod scrub;
mod server;
mod status;
mod table;
mod verify;

use std::{error::Error, io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;

/// An S3 server that keeps its objects erasure-coded on local directories.
#[derive(Debug, Parser)]
#[command(name = "larder", version, about, long_about = LONG_ABOUT, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "\
Larder is an S3 server that keeps its objects erasure-coded on local directories, one a disk.
What it has acknowledged survives power cuts and the loss of as many disks as the profile has parity.

Start one on four directories of which any two may be lost:

    larder server --data /srv/disk{1...4}

and ask how it is:

    larder status";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve S3 from local directories.
    Server(Box<server::ServerArgs>),
    /// Show disks, space and degraded objects of a running server.
    Status(status::StatusArgs),
    /// List, add, drain, remove and replace the disks of a running server.
    Disk(disk::DiskArgs),
    /// List, add and remove the accounts (tenants) of a running server.
    Account(account::AccountArgs),
    /// Show how much is in the buckets of a running server, and set how much may be.
    Bucket(bucket::BucketArgs),
    /// Show and steer what gives objects back the redundancy that they lost.
    Heal(heal::HealArgs),
    /// Make the metadata view anew from the disks, while the server is stopped.
    Rebuild(Box<rebuild::RebuildArgs>),
    /// Show or steer the reading and verifying of all disks.
    Scrub(scrub::ScrubArgs),
    /// Read and prove everything under a prefix: every shard of every object.
    Verify(verify::VerifyArgs),
    /// Measure an S3 endpoint: throughput, latency, and what the machine can do at best.
    Bench(Box<crate::bench::BenchArgs>),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let ran = match Cli::parse().command {
        Command::Server(args) => server::run(*args).map(succeeded),
        Command::Status(args) => status::run(&args).map(succeeded),
        Command::Disk(args) => disk::run(&args).map(succeeded),
        Command::Account(args) => account::run(&args).map(succeeded),
        Command::Bucket(args) => bucket::run(&args).map(succeeded),
        Command::Heal(args) => heal::run(&args).map(succeeded),
        Command::Rebuild(args) => rebuild::run(*args).map(succeeded),
        Command::Scrub(args) => scrub::run(&args).map(succeeded),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => run_bench(*args).map(succeeded),
    };
    match ran {
        Ok(code) => code,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run_bench(args: crate::bench::BenchArgs) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(crate::bench::run(args))?)
}

/// Everything that may go wrong ends up here as one line.
type Failure = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Failure>;

fn succeeded((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn complain(error: &(dyn Error + Send + Sync)) {
    let text = error.to_string().replace('\n', " ");
    drop(writeln!(std::io::stderr(), "larder: {text}"));
}

/// Prints a server's answer: as it is, or as what `text` makes of it.
fn show<T: DeserializeOwned>(
    answer: &[u8],
    as_json: bool,
    text: impl FnOnce(&T) -> String,
) -> Outcome {
    if as_json {
        return Ok(print(&String::from_utf8_lossy(answer))?);
    }
    Ok(print(&text(&admin_client::decode(answer)?))?)
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_server_has_its_variable() {
        let command = Cli::command();
        let server = command.find_subcommand("server").unwrap();
        for flag in server.get_arguments().filter(|a| a.get_long().is_some()) {
            let name = flag.get_long().unwrap();
            if matches!(name, "help" | "version" | "check-config") {
                continue;
            }
            let variable = flag.get_env().unwrap().to_str().unwrap();
            let expected = format!("LARDER_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(variable, expected);
        }
    }
}
