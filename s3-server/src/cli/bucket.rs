//! `larder bucket`.

mod encryption;
mod lock;
mod make;
mod notify;
mod profile;
mod versioning;

use clap::{Args, Subcommand};

use super::{
    Outcome,
    admin_client::AdminClient,
    bounds::{Bounds, bound_of_bytes, bound_of_objects},
    connection::AskArgs,
    print, show,
    table::{Lean, Table, bytes},
};
use crate::admin::buckets::{BucketEntry, BucketList, PATH, QUOTA_PATH, QuotaChange};

/// Buckets: make and remove them, show how much is in them, set how much may be and how objects are kept.
///
/// list, usage, quota and profile are the operator's; the rest is asked through S3, by whoever may.
#[derive(Debug, Args)]
pub(super) struct BucketArgs {
    #[command(subcommand)]
    command: BucketCommand,
}

#[derive(Debug, Subcommand)]
enum BucketCommand {
    /// Show all buckets with usage and quota.
    ///
    /// Usage is exact: it has every write and deletion that was answered before. All versions of objects count; uploads in progress don't.
    List(AskArgs),
    /// Show usage and quota of one bucket.
    Usage(WhichArgs),
    /// Set how much may be in a bucket. What is there stays; writes that would pass the quota get 403 `QuotaExceeded`.
    Quota(QuotaArgs),
    /// Show or set into how many shards new objects are cut, and how many of them may be lost.
    #[command(after_help = profile::EXAMPLES)]
    Profile(profile::ProfileArgs),
    /// Make a bucket.
    #[command(after_help = make::EXAMPLES)]
    Add(make::AddArgs),
    /// Remove a bucket that is empty.
    Remove(WhichArgs),
    /// Show or set for how long new objects can't be deleted or overwritten.
    #[command(after_help = lock::EXAMPLES)]
    Lock(lock::LockArgs),
    /// Show or set whether what is overwritten or deleted is kept as a version.
    Versioning(versioning::VersioningArgs),
    /// Show or set how objects are encrypted whose requests don't say.
    Encryption(encryption::EncryptionArgs),
    /// Show or set who is told of what happens to objects.
    #[command(after_help = notify::EXAMPLES)]
    Notify(notify::NotifyArgs),
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// Its name.
    bucket: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
struct QuotaArgs {
    /// Its name.
    bucket: String,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &BucketArgs) -> Outcome {
    match &args.command {
        BucketCommand::List(args) => {
            let answer = AdminClient::new(&args.connection)?.get_bytes(PATH)?;
            show(&answer, args.json, text)
        }
        BucketCommand::Usage(args) => {
            let path = format!("{PATH}?bucket={}", args.bucket);
            let answer = AdminClient::new(&args.ask.connection)?.get_bytes(&path)?;
            show(&answer, args.ask.json, text)
        }
        BucketCommand::Quota(args) => quota(args),
        BucketCommand::Profile(args) => profile::run(args),
        BucketCommand::Add(args) => make::add(args),
        BucketCommand::Remove(args) => make::remove(args),
        BucketCommand::Lock(args) => lock::run(args),
        BucketCommand::Versioning(args) => versioning::run(args),
        BucketCommand::Encryption(args) => encryption::run(args),
        BucketCommand::Notify(args) => notify::run(args),
    }
}

fn quota(args: &QuotaArgs) -> Outcome {
    let change = QuotaChange {
        bucket: args.bucket.clone(),
        max_bytes: args.bounds.bytes(),
        max_objects: args.bounds.objects,
    };
    let answer: BucketEntry = AdminClient::new(&args.ask.connection)?.post(QUOTA_PATH, &change)?;
    if args.ask.json {
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
        ("PROFILE", Lean::Left),
    ]);
    for bucket in &list.buckets {
        table.row([
            bucket.name.clone(),
            bucket.owner.clone(),
            bucket.objects.to_string(),
            bound_of_objects(bucket.max_objects),
            bytes(bucket.bytes),
            bound_of_bytes(bucket.max_bytes),
            bucket.delete_markers.to_string(),
            bucket.profile_used.clone(),
        ]);
    }
    table.text()
}
