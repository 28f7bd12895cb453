//! `larder bucket`.

use clap::{ArgGroup, Args, Subcommand};

use super::{
    Outcome,
    admin_client::{AdminArgs, AdminClient},
    print, show,
    table::{Lean, Table, bytes},
};
use crate::{
    admin::buckets::{BucketEntry, BucketList, PATH, QUOTA_PATH, QuotaChange},
    units::ByteSize,
};

/// Show how much is in the buckets of a running server, and set how much may be.
///
/// Usage is exact: it has every write and deletion that was answered before. All versions of objects count; uploads in progress don't.
#[derive(Debug, Args)]
pub(super) struct BucketArgs {
    #[command(subcommand)]
    command: BucketCommand,
}

#[derive(Debug, Subcommand)]
enum BucketCommand {
    /// Show all buckets with usage and quota.
    List(ListArgs),
    /// Show usage and quota of one bucket.
    Usage(WhichArgs),
    /// Set how much may be in a bucket. What is there stays; writes that would pass the quota get 403 `QuotaExceeded`.
    Quota(QuotaArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// Its name.
    bucket: String,
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("bounds").required(true).multiple(true).args(["bytes", "objects", "none"])))]
struct QuotaArgs {
    /// Its name.
    bucket: String,
    /// Bytes that may be there, such as 500GiB or 2TB. Without it there is no bound on bytes.
    #[arg(long)]
    bytes: Option<ByteSize>,
    /// Objects that may be there, noncurrent versions included. Without it there is no bound on objects.
    #[arg(long)]
    objects: Option<u64>,
    /// Remove the quota.
    #[arg(long, conflicts_with_all = ["bytes", "objects"])]
    none: bool,
    #[command(flatten)]
    server: AdminArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BucketArgs) -> Outcome {
    match &args.command {
        BucketCommand::List(args) => {
            let answer = AdminClient::new(&args.server)?.get_bytes(PATH)?;
            show(&answer, args.json, text)
        }
        BucketCommand::Usage(args) => {
            let path = format!("{PATH}?bucket={}", args.bucket);
            let answer = AdminClient::new(&args.server)?.get_bytes(&path)?;
            show(&answer, args.json, text)
        }
        BucketCommand::Quota(args) => quota(args),
    }
}

fn quota(args: &QuotaArgs) -> Outcome {
    let change = QuotaChange {
        bucket: args.bucket.clone(),
        max_bytes: args.bytes.map(|size| size.0),
        max_objects: args.objects,
    };
    let answer: BucketEntry = AdminClient::new(&args.server)?.post(QUOTA_PATH, &change)?;
    if args.json {
        return Ok(print(&(serde_json::to_string(&answer)? + "\n"))?);
    }
    Ok(print(&text(&BucketList {
        buckets: vec![answer],
    }))?)
}

fn text(list: &BucketList) -> String {
    let mut table = Table::new([
        ("BUCKET", Lean::Left),
        ("ACCOUNT", Lean::Left),
        ("OBJECTS", Lean::Right),
        ("OF", Lean::Right),
        ("SIZE", Lean::Right),
        ("OF", Lean::Right),
        ("DELETE MARKERS", Lean::Right),
    ]);
    let bound = |bound: Option<String>| bound.unwrap_or_else(|| "-".to_owned());
    for bucket in &list.buckets {
        table.row([
            bucket.name.clone(),
            bucket.owner.clone(),
            bucket.objects.to_string(),
            bound(bucket.max_objects.map(|objects| objects.to_string())),
            bytes(bucket.bytes),
            bound(bucket.max_bytes.map(bytes)),
            bucket.delete_markers.to_string(),
        ]);
    }
    table.text()
}
