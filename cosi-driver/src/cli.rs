//! The command line.
//!
//! Invariant: the only place that prints, but for logs. Results go to stdout; an error is one line on stderr and a non-zero exit. Secrets come from the
//! environment or from files, never from the command line.

pub mod connection;
mod controllers;
pub mod logs;
mod operate;
mod serve;
pub mod span;

use std::{error::Error, io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

/// Larder's COSI driver: `BucketClaims` become buckets, and `BucketAccesses` credentials that work.
#[derive(Debug, Parser)]
#[command(name = "larder-cosi", version, about, long_about = LONG_ABOUT, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

const LONG_ABOUT: &str = "\
Larder's COSI driver: BucketClaims become buckets, and BucketAccesses credentials that work.

In a pod it serves COSI on the socket that COSI_ENDPOINT names:

    LARDER_COSI_ACCESS_KEY=... LARDER_COSI_SECRET_KEY_FILE=/secrets/key \\
        larder-cosi serve --endpoint http://larder:9000

Without a command it serves. Every flag has its variable, LARDER_COSI_ and its name; secrets have
only variables, with _FILE for a file that holds them.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Orphans(operate::OrphansArgs),
    Migrate(operate::MigrateArgs),
    Doctor(operate::DoctorArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ran = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Orphans(args)) => operate::orphans(&args),
        Some(Command::Migrate(args)) => operate::migrate(&args),
        Some(Command::Doctor(args)) => operate::doctor(&args),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Everything that may go wrong ends up here as one line.
pub type Failure = Box<dyn Error + Send + Sync>;
/// What a command ends with.
pub type Outcome = Result<(), Failure>;

fn complain(error: &(dyn Error + Send + Sync)) {
    let text = error.to_string().replace('\n', " ");
    drop(writeln!(std::io::stderr(), "larder-cosi: {text}"));
}

/// Prints a result.
///
/// # Errors
/// Nobody reads it.
pub fn print(text: &str) -> std::io::Result<()> {
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
    fn serving_is_what_is_done_without_a_command() {
        let cli = Cli::try_parse_from(["larder-cosi", "--endpoint", "http://larder:9000"]).unwrap();
        assert!(cli.command.is_none());
        let cli = Cli::try_parse_from(["larder-cosi", "serve", "--region", "r"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Serve(_))));
    }

    /// `COSI_ENDPOINT` is upstream's, and what begins with COSI_ is theirs.
    #[test]
    fn every_flag_has_its_variable() {
        let mut command = Cli::command();
        command.build();
        for command in command
            .get_subcommands()
            .filter(|it| it.get_name() != "help")
        {
            for flag in command.get_arguments().filter(|it| it.get_env().is_some()) {
                let name = flag.get_long().unwrap();
                let variable = flag.get_env().unwrap().to_str().unwrap();
                let expected = match name {
                    "cosi-endpoint" => "COSI_ENDPOINT".to_owned(),
                    name => format!("LARDER_COSI_{}", name.to_uppercase().replace('-', "_")),
                };
                assert_eq!(variable, expected);
            }
        }
        let serve = command.find_subcommand("serve").unwrap();
        let flags = serve.get_arguments().filter(|it| it.get_long().is_some());
        for flag in flags.filter(|it| !matches!(it.get_long(), Some("help" | "version"))) {
            assert!(flag.get_env().is_some(), "{flag}");
        }
    }
}
