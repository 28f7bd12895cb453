//! `larder bucket versioning`.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::{
    Outcome, api_error::ApiResult, connection::AskArgs, print, print_json, s3_client::S3Client,
    table::facts,
};

#[derive(Debug, Args)]
pub(super) struct VersioningArgs {
    /// Its name.
    bucket: String,
    /// What to do [default: only show it].
    #[arg(value_enum)]
    change: Option<Change>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Change {
    /// Keep what is overwritten or deleted.
    Enable,
    /// Keep no more; versions of before stay.
    Suspend,
}

/// `status`: `Enabled` or `Suspended`.
pub(super) fn set(client: &S3Client, bucket: &str, status: &str) -> ApiResult<()> {
    let xml = format!(
        "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></VersioningConfiguration>"
    );
    client.put(bucket, "versioning", &[], xml)
}

pub(super) fn run(args: &VersioningArgs) -> Outcome {
    let (client, bucket) = (S3Client::new(&args.ask.connection)?, &args.bucket);
    match args.change {
        Some(Change::Enable) => set(&client, bucket, "Enabled")?,
        Some(Change::Suspend) => set(&client, bucket, "Suspended")?,
        None => {}
    }
    let status = client.get(bucket, "versioning")?.get("Status");
    let (status, next) = match status.as_str() {
        "Enabled" => ("enabled", ""),
        "Suspended" => ("suspended", ": versions of before stay"),
        _ => ("off", ": what is overwritten or deleted is gone"),
    };
    if args.ask.json {
        return print_json(&json!({ "bucket": bucket, "versioning": status }));
    }
    let status = format!("{status}{next}");
    Ok(print(&facts([
        ("bucket", bucket.clone()),
        ("versioning", status),
    ]))?)
}
