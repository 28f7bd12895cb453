//! The command line.
//!
//! Invariant: the only place that prints. Results go to stdout; an error is one line on stderr and
//! a non-zero exit.

mod account;
pub(crate) mod admin_client;
mod api_error;
mod bounds;
mod bucket;
mod completion;
mod connection;
mod disk;
mod element;
mod encryption;
mod heal;
mod iam;
mod rebuild;
mod s3_client;
mod scrub;
mod server;
mod status;
mod table;
mod verify;

use std::{error::Error, io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
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
    Bucket(bucket::BucketArgs),
    User(iam::user::UserArgs),
    Key(iam::key::KeyArgs),
    Group(iam::group::GroupArgs),
    Policy(iam::policy::PolicyArgs),
    Role(iam::role::RoleArgs),
    Provider(iam::provider::ProviderArgs),
    Sts(iam::sts::StsArgs),
    /// Show the master keys of a running server, and have what earlier ones sealed sealed anew.
    Encryption(encryption::EncryptionArgs),
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
    /// Print what lets a shell complete commands, flags and their values.
    Completion(completion::CompletionArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let ran = match Cli::parse().command {
        Command::Server(args) => server::run(*args).map(succeeded),
        Command::Status(args) => status::run(&args).map(succeeded),
        Command::Disk(args) => disk::run(&args).map(succeeded),
        Command::Account(args) => account::run(&args).map(succeeded),
        Command::Bucket(args) => bucket::run(&args).map(succeeded),
        Command::User(args) => iam::user::run(&args).map(succeeded),
        Command::Key(args) => iam::key::run(&args).map(succeeded),
        Command::Group(args) => iam::group::run(&args).map(succeeded),
        Command::Policy(args) => iam::policy::run(&args).map(succeeded),
        Command::Role(args) => iam::role::run(&args).map(succeeded),
        Command::Provider(args) => iam::provider::run(&args).map(succeeded),
        Command::Sts(args) => iam::sts::run(&args).map(succeeded),
        Command::Encryption(args) => encryption::run(&args).map(succeeded),
        Command::Heal(args) => heal::run(&args).map(succeeded),
        Command::Rebuild(args) => rebuild::run(*args).map(succeeded),
        Command::Scrub(args) => scrub::run(&args).map(succeeded),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => run_bench(*args).map(succeeded),
        Command::Completion(args) => completion::run(&args, Cli::command()).map(succeeded),
    };
    match ran {
        Ok(code) => code,
        Err(error) => {
            complain(&*error);
            if error.is::<Usage>() {
                return ExitCode::from(EXIT_USAGE);
            }
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

/// Exit status of a command line that makes no sense, as clap has it.
const EXIT_USAGE: u8 = 2;

/// What is wrong with the command line where clap can't know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

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

/// Prints a value as one line of JSON.
fn print_json(value: &serde_json::Value) -> Outcome {
    Ok(print(&format!("{value}\n"))?)
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
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
