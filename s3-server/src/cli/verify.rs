//! `larder verify s3://bucket/prefix`.

use std::{fmt::Write as _, ops::ControlFlow, process::ExitCode, str::FromStr};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Failure,
    admin_client::{AdminArgs, AdminClient, decode},
    print,
    table::bytes,
};
use crate::admin::verify::{PATH, Tally, VerifyLine, VerifyRequest};

/// Exit status where something can't be read.
const EXIT_UNREADABLE: u8 = 3;
/// Exit status where all can be read, but something would survive fewer losses than it should.
const EXIT_DEGRADED: u8 = 4;

const AFTER_HELP: &str = "\
Exit status:
  0  every block of every shard of every object is what it should be
  1  it could not be found out: no answer, no such bucket, or broken off
  2  the command line is wrong
  3  something can't be read; it is named
  4  all can be read, but something lacks redundancy; it is named, and healed by itself where that is possible";

/// Read and prove everything under a prefix: every shard of every object.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// What to verify: a bucket, or a bucket and what the keys begin with.
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    target: Target,
    /// At full speed, also while clients are served; otherwise it takes a quarter of the time then.
    #[arg(long)]
    now: bool,
    /// Print the server's lines of JSON as they come.
    #[arg(long)]
    json: bool,
}

/// A bucket, and what keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    bucket: String,
    prefix: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("s3://")
            .ok_or("it begins with s3://, such as s3://bucket/prefix")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err("there is no bucket in it".to_owned());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let client = AdminClient::new(&args.server)?;
    let request = VerifyRequest {
        bucket: args.target.bucket.clone(),
        prefix: args.target.prefix.clone(),
        now: args.now,
    };
    let mut shown = Shown::new(args.json);
    let mut failure = None;
    client.post_lines(PATH, &request, |line| match shown.take(line) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let tally = shown
        .done
        .ok_or("the verification was broken off: the server stopped")?;
    if !args.json {
        shown.bar.finish_and_clear();
        print(&summary(&tally))?;
    }
    Ok(exit(&tally))
}

fn exit(tally: &Tally) -> ExitCode {
    match (tally.unreadable, tally.degraded) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(EXIT_DEGRADED),
        _ => ExitCode::from(EXIT_UNREADABLE),
    }
}

fn summary(tally: &Tally) -> String {
    let whole = tally.objects - tally.degraded - tally.unreadable;
    let mut text = format!(
        "verified    {} objects, {} ({} of shards read)\nwhole       {whole}\n",
        tally.objects,
        bytes(tally.bytes),
        bytes(tally.read_bytes),
    );
    let mut row = |what: &str, count: u64, meaning: &str| {
        if count > 0 {
            // Writing to a string can't fail.
            let _written = writeln!(text, "{what:<12}{count}: {meaning}");
        }
    };
    row(
        "degraded",
        tally.degraded,
        "can be read, and lack redundancy",
    );
    row(
        "unreadable",
        tally.unreadable,
        "can't be read, or not all of them",
    );
    text
}

/// What people see while it runs.
#[derive(Debug)]
struct Shown {
    json: bool,
    bar: ProgressBar,
    objects: u64,
    done: Option<Tally>,
}

impl Shown {
    fn new(json: bool) -> Self {
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = if json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        Self {
            json,
            bar: bar.with_style(style.progress_chars("=> ")),
            objects: 0,
            done: None,
        }
    }

    fn take(&mut self, json: &[u8]) -> Result<(), Failure> {
        let line: VerifyLine = decode(json)?;
        if self.json {
            print(&String::from_utf8_lossy(json))?;
        }
        match line {
            VerifyLine::Total { objects, bytes } => {
                self.objects = objects;
                self.bar.set_length(bytes);
                self.show(&Tally::default());
            }
            VerifyLine::Progress(tally) => self.show(&tally),
            VerifyLine::Degraded { key, shards, .. } => {
                self.say(&format!(
                    "degraded    {key}: {shards} shards are not good\n"
                ))?;
            }
            VerifyLine::Unreadable { key, reason, .. } => {
                self.say(&format!("unreadable  {key}: {reason}\n"))?;
            }
            VerifyLine::Done(tally) => {
                self.show(&tally);
                self.done = Some(tally);
            }
        }
        Ok(())
    }

    fn show(&self, tally: &Tally) {
        let (done, all) = (tally.objects, self.objects);
        self.bar.set_message(format!("{done} of {all} objects"));
        self.bar.set_position(tally.bytes);
    }

    fn say(&self, line: &str) -> std::io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.bar.suspend(|| print(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed_or_refused() {
        let target = |text: &str| text.parse::<Target>().ok().map(|t| (t.bucket, t.prefix));
        let is = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(target("s3://b"), is("b", ""));
        assert_eq!(target("s3://b/"), is("b", ""));
        assert_eq!(target("s3://b/base/2026//x"), is("b", "base/2026//x"));
        for wrong in ["b/p", "s3://", "s3:///p", "http://b/p"] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_read_counts_for_more_than_what_lacks_redundancy() {
        let tally = |degraded, unreadable| Tally {
            objects: 9,
            degraded,
            unreadable,
            ..Tally::default()
        };
        let code = |degraded, unreadable| format!("{:?}", exit(&tally(degraded, unreadable)));
        assert_eq!(code(0, 0), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(2, 0), format!("{:?}", ExitCode::from(4)));
        assert_eq!(code(0, 1), format!("{:?}", ExitCode::from(3)));
        assert_eq!(code(2, 1), format!("{:?}", ExitCode::from(3)));
        assert!(summary(&tally(2, 1)).contains("whole       6\ndegraded    2"));
    }
}
