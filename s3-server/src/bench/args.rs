//! The command line of `larder bench`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{BenchError, payload::BodyMode, sign::Credentials};
use crate::units::{ByteSize, parse_duration};

/// The largest object or part that payloads are made for.
const MAX_SIZE: ByteSize = ByteSize(1 << 30);

const EXAMPLES: &str = "\
Loads:
  put             new objects of each --size
  get             whole objects of each --size, checked against what was put
  range           --range-size bytes at random places of objects of --range-object bytes
  head            HEAD on objects of the smallest --size
  list            all of --list-dirs x 1,000 keys, page by page; one operation is one page
  list-delimiter  the --list-dirs directories of 1,000 objects, grouped by '/'; one operation is
                  one page
  delete          objects of the smallest --size, prepared before the clock starts
  multipart       whole uploads of --multipart-size in parts of --part-size
  mixed           60 % get, 25 % put, 10 % head, 5 % delete, for each --size
  none            nothing: with --disks, only the floors

Each load runs with each number of --clients (connections, each with one request at a time) for
--duration or --ops operations, whichever ends first. Objects go to one prefix of the bucket,
which is emptied at the end. Latency runs from before the request is signed until the last byte of
the response has been read and checked.

Examples:
  # What does my server do with small objects?
  larder bench --endpoint http://127.0.0.1:9000 --loads put,get,head --size 4KiB --clients 1,8,32

  # How close do synced PUTs come to the disks, and what do they cost the server?
  larder bench --loads put --size 4KiB,16MiB --clients 1,32 \\
      --disks /data/1 /data/2 /data/3 /data/4 --server-pid \"$(pidof larder)\"

  # Does the way the body is signed matter?
  for body in unsigned signed chunked trailer; do
      larder bench --loads put --size 16MiB --clients 8 --body $body
  done

  # One JSON object a line, for a script
  larder bench --loads list,list-delimiter --clients 8 --json | jq .keys_per_second

  # Only the floors of the disks
  larder bench --loads none --disks /data/1 /data/2 /data/3 /data/4";

/// Measures an S3 endpoint: throughput and latency of puts, gets, listings and more
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES, after_help = "More, with examples: --help")]
pub struct BenchArgs {
    /// The server's URL (http only)
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000")]
    #[arg(env = "LARDER_BENCH_ENDPOINT")]
    pub endpoint: String,

    /// Access key [or `LARDER_ROOT_ACCESS_KEY`, the same with `_FILE`, `AWS_ACCESS_KEY_ID`]
    #[arg(long, value_name = "KEY")]
    pub access_key: Option<String>,

    /// Secret key [or `LARDER_ROOT_SECRET_KEY`, the same with `_FILE`, `AWS_SECRET_ACCESS_KEY`],
    /// which, unlike this flag, other users of the machine can't see
    #[arg(long, value_name = "SECRET")]
    pub secret_key: Option<String>,

    /// The region to sign for
    #[arg(long, default_value = "us-east-1", env = "LARDER_BENCH_REGION")]
    pub region: String,

    /// The bucket to work in, created if need be
    #[arg(long, default_value = "larder-bench", env = "LARDER_BENCH_BUCKET")]
    pub bucket: String,

    /// What to measure, in this order
    #[arg(long, value_enum, value_delimiter = ',', env = "LARDER_BENCH_LOADS")]
    #[arg(default_value = "put,get,range,head,list,list-delimiter,delete,multipart,mixed")]
    pub loads: Vec<Load>,

    /// Object sizes, at most 1GiB each
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "4KiB,16MiB",
        env = "LARDER_BENCH_SIZE"
    )]
    pub size: Vec<ByteSize>,

    /// Numbers of clients, each a connection with one request at a time
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,8,32",
        env = "LARDER_BENCH_CLIENTS"
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: Vec<u32>,

    /// Time for each load; requests begun within it are waited for
    #[arg(long, value_parser = parse_duration, default_value = "5s")]
    #[arg(env = "LARDER_BENCH_DURATION")]
    pub duration: Duration,

    /// Operations for each load, at most
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000_000,
        env = "LARDER_BENCH_OPS"
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub ops: u64,

    /// Time before each load in which requests are sent but not counted
    #[arg(long, value_parser = parse_duration, default_value = "500ms")]
    #[arg(env = "LARDER_BENCH_WARMUP")]
    pub warmup: Duration,

    /// How long after the end of a load to wait for answers still missing
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    #[arg(env = "LARDER_BENCH_TIMEOUT")]
    pub timeout: Duration,

    /// Time for preparing the objects of a load; with fewer than wanted the load goes on
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    #[arg(env = "LARDER_BENCH_PREPARE")]
    pub prepare: Duration,

    /// How bodies are sent; hashes are made before the clock starts
    #[arg(
        long,
        value_enum,
        default_value = "unsigned",
        env = "LARDER_BENCH_BODY"
    )]
    pub body: BodyMode,

    /// Objects to prepare for get, head and mixed [default: 1,000, or fewer of large ones]
    #[arg(long, value_name = "N", env = "LARDER_BENCH_OBJECTS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub objects: Option<u64>,

    /// Objects to prepare for each delete load; it ends when they are gone
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(env = "LARDER_BENCH_DELETE_OBJECTS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub delete_objects: u64,

    /// Directories of 1,000 objects each to prepare for the listings
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        env = "LARDER_BENCH_LIST_DIRS"
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub list_dirs: u64,

    /// Bytes of each ranged GET
    #[arg(long, default_value = "64KiB", env = "LARDER_BENCH_RANGE_SIZE")]
    pub range_size: ByteSize,

    /// Size of the objects that ranges are taken of
    #[arg(long, default_value = "64MiB", env = "LARDER_BENCH_RANGE_OBJECT")]
    pub range_object: ByteSize,

    /// Size of the objects of the multipart load
    #[arg(long, default_value = "64MiB", env = "LARDER_BENCH_MULTIPART_SIZE")]
    pub multipart_size: ByteSize,

    /// Size of their parts (S3 wants at least 5MiB of all but the last)
    #[arg(long, default_value = "8MiB", env = "LARDER_BENCH_PART_SIZE")]
    pub part_size: ByteSize,

    /// Compare every byte that is read, not only length, first and last bytes
    #[arg(long, env = "LARDER_BENCH_VERIFY")]
    pub verify: bool,

    /// Leave the objects there at the end
    #[arg(long, env = "LARDER_BENCH_KEEP")]
    pub keep: bool,

    /// Threads of the client; more than one only where the client has cores to itself
    #[arg(long, default_value_t = 1, env = "LARDER_BENCH_THREADS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,

    /// Process of the server, on this machine; adds its CPU time and memory (all of several)
    #[arg(
        long,
        value_name = "PID",
        value_delimiter = ',',
        env = "LARDER_BENCH_SERVER_PID"
    )]
    pub server_pid: Vec<u32>,

    /// Directories (one a disk) whose floors are measured first: parallel synced appends,
    /// sequential writes and reads
    #[arg(long, value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    #[arg(env = "LARDER_BENCH_DISKS")]
    pub disks: Vec<PathBuf>,

    /// Bytes written to and read from all of --disks together for the bandwidth floors
    #[arg(long, default_value = "512MiB", env = "LARDER_BENCH_FLOOR_SIZE")]
    pub floor_size: ByteSize,

    /// Print one JSON object a line in place of the table
    #[arg(long, env = "LARDER_BENCH_JSON")]
    pub json: bool,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// Puts of new objects
    Put,
    /// Whole objects
    Get,
    /// Parts of large objects
    Range,
    /// Heads of objects
    Head,
    /// All keys, page by page
    List,
    /// Directories, grouped by `/`
    ListDelimiter,
    /// Deletes of single objects
    Delete,
    /// Uploads in parts
    Multipart,
    /// Gets, puts, heads and deletes
    Mixed,
    /// Nothing: only the floors of the disks
    None,
}

impl Load {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Range => "range",
            Self::Head => "head",
            Self::List => "list",
            Self::ListDelimiter => "list-delimiter",
            Self::Delete => "delete",
            Self::Multipart => "multipart",
            Self::Mixed => "mixed",
            Self::None => "none",
        }
    }

    /// True if the load runs once for each size.
    pub fn has_sizes(self) -> bool {
        matches!(self, Self::Put | Self::Get | Self::Mixed)
    }
}

impl BenchArgs {
    /// Checks what clap can't: how settings fit together.
    ///
    /// # Errors
    /// [`BenchError::Setting`] naming the flag.
    pub fn check(&self) -> Result<(), BenchError> {
        let refuse = |flag, reason: String| Err(BenchError::Setting { flag, reason });
        let sizes = [
            ("--range-object", self.range_object),
            ("--part-size", self.part_size),
            ("--range-size", self.range_size),
        ];
        let all = self.size.iter().map(|size| ("--size", *size)).chain(sizes);
        for (flag, size) in all {
            if size > MAX_SIZE {
                return refuse(flag, format!("{size} is more than {MAX_SIZE}"));
            }
        }
        if self.range_size.0 == 0 || self.range_size > self.range_object {
            return refuse(
                "--range-size",
                format!("not within 1 to {}", self.range_object),
            );
        }
        let parts = self.multipart_size.0.div_ceil(self.part_size.0.max(1));
        if self.part_size.0 == 0 || !(1..=10_000).contains(&parts) {
            return refuse(
                "--part-size",
                format!("{parts} parts, allowed are 1 to 10,000"),
            );
        }
        if self.duration.is_zero() {
            return refuse("--duration", "must be more than nothing".to_owned());
        }
        check_bucket(&self.bucket)
    }

    /// The credentials from the flags or else the environment, as `lookup` reads it.
    ///
    /// # Errors
    /// [`BenchError::NoCredentials`] when neither has them, [`BenchError::CredentialFile`] when
    /// the file named by a variable can't be read.
    pub fn credentials(
        &self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Credentials, BenchError> {
        let access = ["LARDER_ROOT_ACCESS_KEY", "AWS_ACCESS_KEY_ID"];
        let secret = ["LARDER_ROOT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"];
        Ok(Credentials {
            access_key: find_credential(self.access_key.as_ref(), access, "access", &lookup)?,
            secret_key: find_credential(self.secret_key.as_ref(), secret, "secret", &lookup)?,
            region: self.region.clone(),
        })
    }
}

fn find_credential(
    flag: Option<&String>,
    variables: [&'static str; 2],
    which: &'static str,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<String, BenchError> {
    if let Some(value) = flag {
        return Ok(value.clone());
    }
    for variable in variables {
        if let Some(value) = lookup(variable).filter(|value| !value.is_empty()) {
            return Ok(value);
        }
        if let Some(path) = lookup(&format!("{variable}_FILE")) {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|source| BenchError::CredentialFile { path, source })?;
            return Ok(text.trim().to_owned());
        }
    }
    Err(BenchError::NoCredentials {
        which,
        variable: variables[0],
    })
}

/// The bucket goes into paths as it is.
fn check_bucket(bucket: &str) -> Result<(), BenchError> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if (3..=63).contains(&bucket.len()) && bucket.bytes().all(allowed) {
        return Ok(());
    }
    let reason = format!("'{bucket}' is not 3 to 63 of a-z, 0-9, '.' and '-'");
    Err(BenchError::Setting {
        flag: "--bucket",
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(flags: &[&str]) -> BenchArgs {
        let args = std::iter::once("bench").chain(flags.iter().copied());
        Cli::try_parse_from(args).unwrap().bench
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let args = parse(&[
            "--loads",
            "put,list-delimiter",
            "--size",
            "1KiB,2MB",
            "--clients",
            "3",
        ]);
        assert_eq!(args.loads, [Load::Put, Load::ListDelimiter]);
        assert_eq!(args.size, [ByteSize(1_024), ByteSize(2_000_000)]);
        assert_eq!(args.clients, [3]);
        assert!(args.check().is_ok());
    }

    #[test]
    fn the_defaults_fit_together() {
        let args = parse(&[]);
        args.check().unwrap();
        assert_eq!(args.loads.len(), 9);
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_by_name() {
        for (flag, flags) in [
            ("--size", ["--size", "2GiB"]),
            ("--range-size", ["--range-size", "65MiB"]),
            ("--range-size", ["--range-size", "0"]),
            ("--part-size", ["--part-size", "0"]),
            ("--part-size", ["--part-size", "1KiB"]),
            ("--duration", ["--duration", "0s"]),
            ("--bucket", ["--bucket", "Not/A/Bucket"]),
        ] {
            let error = parse(&flags).check().unwrap_err();
            assert!(error.to_string().contains(flag), "{error}");
        }
    }

    #[test]
    fn credentials_come_from_flags_then_larder_then_aws() {
        let args = parse(&["--access-key", "flag"]);
        let both = |name: &str| {
            matches!(name, "LARDER_ROOT_SECRET_KEY" | "AWS_SECRET_ACCESS_KEY")
                .then(|| name.to_owned())
        };
        let credentials = args.credentials(both).unwrap();
        assert_eq!(credentials.access_key, "flag");
        assert_eq!(credentials.secret_key, "LARDER_ROOT_SECRET_KEY");
        let error = args.credentials(|_| None).unwrap_err();
        assert!(
            error.to_string().contains("LARDER_ROOT_SECRET_KEY"),
            "{error}"
        );
    }

    #[test]
    fn a_secret_may_be_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "s3cret\n").unwrap();
        let lookup = |name: &str| {
            (name == "LARDER_ROOT_SECRET_KEY_FILE").then(|| path.to_str().unwrap().to_owned())
        };
        let credentials = parse(&["--access-key", "a"]).credentials(lookup).unwrap();
        assert_eq!(credentials.secret_key, "s3cret");
    }
}
