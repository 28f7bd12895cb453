//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use super::driver::Api;
use crate::{cli::span, provision::Parameters, socket};

/// Checks a COSI driver by its socket.
#[derive(Debug, Parser)]
#[command(name = "cosi-sanity", version, about, long_about = LONG_ABOUT, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of checking.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to check.
    #[command(flatten)]
    pub run: RunArgs,
}

const LONG_ABOUT: &str = "\
Checks a COSI driver, any driver that speaks v1alpha1 or v1alpha2, by its socket:

    cosi-sanity --endpoint unix:///var/lib/cosi/cosi.sock --parameters quotaBytes=1Gi

It makes buckets and accounts of its own and removes them. Each check is a line with ok, FAILED or
skipped, and why; the exit status is 0 if none failed, 1 if one did, 2 if nothing could be checked.
Where the endpoint of the credentials that the driver grants can be reached from here, they are
used: objects are written and read, and must not be any more once access is revoked.

`cosi-sanity list` says what is checked and where it is written that it must be so.";

/// What to do instead of checking.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the checks, each with its source.
    List(ListArgs),
    /// Make one call and print its answer as JSON, secrets included.
    Call(CallArgs),
}

/// See [`Command::List`].
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Those of this version alone.
    #[arg(long, value_enum, value_name = "VERSION")]
    pub api: Option<Api>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// See [`Command::Call`].
#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the help of the command line is plain text"
)]
pub struct CallArgs {
    /// The driver's socket.
    #[arg(long, env = "COSI_ENDPOINT", value_name = "ENDPOINT", default_value = socket::DEFAULT_ENDPOINT)]
    pub endpoint: String,
    /// Such as DriverCreateBucket.
    pub method: String,
    /// The request in JSON, with the fields' names in the protocol: {"name": "b", "parameters": {"k": "v"}}.
    #[arg(default_value = "{}")]
    pub request: String,
}

/// How to check.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the help of the command line is plain text"
)]
pub struct RunArgs {
    /// The driver's socket.
    #[arg(long, env = "COSI_ENDPOINT", value_name = "ENDPOINT", default_value = socket::DEFAULT_ENDPOINT)]
    pub endpoint: String,
    /// Which version of COSI is spoken; v1alpha2 is the unreleased one in its revision r3, the enhancement proposal of autumn 2026.
    #[arg(long, value_enum, default_value = "v1alpha1", value_name = "VERSION")]
    pub api: Api,
    /// A parameter of the BucketClass. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// A parameter that makes a bucket another one than --parameters alone: asking for both must be refused. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub other_parameters: Vec<(String, String)>,
    /// A parameter of the BucketAccessClass. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub access_parameters: Vec<(String, String)>,
    /// The same as --other-parameters for access.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub other_access_parameters: Vec<(String, String)>,
    /// What the driver does with a bucket that is not empty when it is to be deleted.
    #[arg(long, value_enum, default_value = "refuse", value_name = "WHAT")]
    pub delete_nonempty: NonEmpty,
    /// Equal calls at once.
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    pub concurrency: usize,
    /// How long a call is repeated that the driver asks to repeat (ABORTED, UNAVAILABLE), and how long a driver may take to start.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = span::parse)]
    pub patience: Duration,
    /// Authorities that have signed the certificate of the endpoint that is granted, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Fail where the endpoint that is granted can't be reached, instead of leaving those checks out.
    #[arg(long)]
    pub require_s3: bool,
    /// A file that the driver logs to: no secret that it granted may be in it. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub log_file: Vec<PathBuf>,
    /// Kills the driver (as SIGKILL does) and starts it again, in the shell: for checks across a crash. It ends when the driver was started.
    #[arg(long, value_name = "COMMAND")]
    pub crash_command: Option<String>,
    /// How often it is killed, each time a little later after a call was made.
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub crashes: u32,
    /// Takes the driver's storage away from it, in the shell: for checks of what it answers then.
    #[arg(long, value_name = "COMMAND", requires = "mend_command")]
    pub break_command: Option<String>,
    /// Gives it back.
    #[arg(long, value_name = "COMMAND", requires = "break_command")]
    pub mend_command: Option<String>,
    /// Only checks whose names contain this. Repeatable.
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Leaves a check out whose name contains this. Repeatable.
    #[arg(long, value_name = "TEXT")]
    pub skip: Vec<String>,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    pub json: bool,
}

/// What happens to a bucket that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NonEmpty {
    /// It stays.
    Refuse,
    /// It goes with what is in it.
    Empty,
}

impl RunArgs {
    /// Whether a check is to be made.
    pub fn wants(&self, name: &str) -> bool {
        let is_in = |all: &[String]| all.iter().any(|it| name.contains(it.as_str()));
        (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.skip)
    }

    /// Of buckets.
    pub fn parameters(&self) -> Parameters {
        self.parameters.iter().cloned().collect()
    }

    /// Of buckets that are other ones; `None` where nobody said how.
    pub fn other_parameters(&self) -> Option<Parameters> {
        with(self.parameters(), &self.other_parameters)
    }

    /// Of access.
    pub fn access_parameters(&self) -> Parameters {
        self.access_parameters.iter().cloned().collect()
    }

    /// Of access that is another one.
    pub fn other_access_parameters(&self) -> Option<Parameters> {
        with(self.access_parameters(), &self.other_access_parameters)
    }
}

fn with(mut all: Parameters, more: &[(String, String)]) -> Option<Parameters> {
    all.extend(more.iter().cloned());
    (!more.is_empty()).then_some(all)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn args(flags: &[&str]) -> RunArgs {
        Cli::try_parse_from([&["cosi-sanity"], flags].concat())
            .unwrap()
            .run
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn parameters_are_pairs_and_others_come_on_top() {
        let args = args(&[
            "--parameters",
            "a=1",
            "--parameters",
            "b=x=y",
            "--other-parameters",
            "a=2",
        ]);
        let of = |pairs: [(&str, &str); 2]| {
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into()
        };
        assert_eq!(args.parameters(), of([("a", "1"), ("b", "x=y")]));
        assert_eq!(
            args.other_parameters(),
            Some(of([("a", "2"), ("b", "x=y")]))
        );
        assert_eq!(args.other_access_parameters(), None);
        assert!(Cli::try_parse_from(["cosi-sanity", "--parameters", "a"]).is_err());
    }

    #[test]
    fn checks_are_chosen_by_parts_of_their_names() {
        let args = args(&["--only", "grant", "--skip", "concurrent"]);
        assert!(args.wants("grant-idempotent"));
        assert!(!args.wants("grant-concurrent") && !args.wants("create-idempotent"));
    }
}
