//! `larder bucket add` and `larder bucket remove`.

use clap::Args;
use serde_json::json;

use super::{WhichArgs, lock::Retention, versioning};
use crate::{
    cli::{Outcome, connection::AskArgs, print, print_json, s3_client::S3Client},
    config::{DEFAULT_REGION, ProfileSetting},
    reply::X_LARDER_PROFILE,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  larder bucket add backups
  larder bucket add archive --lock                       # objects can be locked
  larder bucket add archive --retain 30d --compliance    # nobody deletes anything for 30 days";

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// What it is called.
    bucket: String,
    /// Keep what is overwritten or deleted as a version.
    #[arg(long)]
    versioning: bool,
    /// Let objects be locked, which keeps versions too. This is for ever.
    #[arg(long)]
    lock: bool,
    /// Cut objects into so many data and parity shards, such as 3+1 [default: the cluster's profile].
    #[arg(long)]
    profile: Option<ProfileSetting>,
    #[command(flatten)]
    retention: Retention,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn add(args: &AddArgs) -> Outcome {
    let client = S3Client::new(&args.ask.connection)?;
    let default = args.retention.rule();
    let is_locked = args.lock || default.is_some();
    let enabled = is_locked.then(|| ("x-amz-bucket-object-lock-enabled", "true".to_owned()));
    let profile = args
        .profile
        .map(|profile| (X_LARDER_PROFILE, profile.to_string()));
    let headers: Vec<_> = enabled.into_iter().chain(profile).collect();
    let bucket = &args.bucket;
    client.put(bucket, "", &headers, place(&client.connection.region))?;
    if args.versioning && !is_locked {
        versioning::set(&client, bucket, "Enabled")?;
    }
    if let Some(default) = default {
        super::lock::set(&client, bucket, Some(&default))?;
    }
    if args.ask.json {
        return print_json(&json!({ "bucket": bucket, "object_lock": is_locked }));
    }
    Ok(print(&format!(
        "bucket {bucket} is there\n\
         Next: larder user add NAME --bucket {bucket} --policy append-only --key\n"
    ))?)
}

/// AWS's oldest region is never named.
fn place(region: &str) -> String {
    if region == DEFAULT_REGION {
        return String::new();
    }
    let region = quick_xml::escape::escape(region);
    format!(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    )
}

pub(super) fn remove(args: &WhichArgs) -> Outcome {
    let client = S3Client::new(&args.ask.connection)?;
    client.delete(&args.bucket, "")?;
    if args.ask.json {
        return print_json(&json!({ "removed": args.bucket }));
    }
    Ok(print(&format!("bucket {} is removed\n", args.bucket))?)
}
