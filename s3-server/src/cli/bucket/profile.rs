//! `larder bucket profile`.

use clap::Args;
use serde::Deserialize;

use crate::{
    admin::buckets::{BucketEntry, PATH, PROFILE_PATH, ProfileChange},
    cli::{
        Outcome,
        admin_client::{AdminClient, AdminClientError},
        connection::AskArgs,
        print, print_json,
        table::facts,
    },
    config::ProfileSetting,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  larder bucket profile scratch          # which one new objects get
  larder bucket profile scratch 3+1      # any one disk may be lost, for a third more bytes
  larder bucket profile scratch --none   # as the cluster's are

What is there stays as it is until it is written again. More disks than any of the cluster's may not be lost.";

#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    /// Its name.
    bucket: String,
    /// Data and parity shards of new objects, such as 3+1 [default: only show it].
    profile: Option<ProfileSetting>,
    /// Have new objects as the cluster's are.
    #[arg(long, conflicts_with = "profile")]
    none: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// A list of one bucket.
#[derive(Deserialize)]
struct Only {
    buckets: [BucketEntry; 1],
}

pub(super) fn run(args: &ProfileArgs) -> Outcome {
    let bucket = ask(args)?;
    if args.ask.json {
        return print_json(&serde_json::to_value(&bucket)?);
    }
    let used = &bucket.profile_used;
    let profile = match &bucket.profile {
        None => format!("{used}, the cluster's"),
        Some(own) if own == used => format!("{own}, its own"),
        Some(own) => format!("{used}, the cluster's, as long as {own} can't be had on its disks"),
    };
    Ok(print(&facts([
        ("bucket", bucket.name.clone()),
        ("profile", profile),
    ]))?)
}

fn ask(args: &ProfileArgs) -> Result<BucketEntry, AdminClientError> {
    let client = AdminClient::new(&args.ask.connection)?;
    if args.profile.is_some() || args.none {
        let change = ProfileChange {
            bucket: args.bucket.clone(),
            profile: args.profile.map(String::from),
        };
        return client.post(PROFILE_PATH, &change);
    }
    let only: Only = client.get(&format!("{PATH}?bucket={}", args.bucket))?;
    let [bucket] = only.buckets;
    Ok(bucket)
}
