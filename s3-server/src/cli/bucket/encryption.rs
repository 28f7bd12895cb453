//! `larder bucket encryption`.

use clap::{Args, ValueEnum};
use quick_xml::escape::escape;
use serde_json::json;

use crate::cli::{
    Outcome, Usage,
    api_error::{ApiError, ApiResult},
    connection::AskArgs,
    element::Element,
    print, print_json,
    s3_client::S3Client,
    table::facts,
};

#[derive(Debug, Args)]
pub(super) struct EncryptionArgs {
    /// Its name.
    bucket: String,
    /// What new objects are encrypted by whose requests don't say [default: only show it].
    #[arg(value_enum)]
    change: Option<Change>,
    /// With kms: the name or ARN of the key [default: aws/s3, which is the server's master key].
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Change {
    /// Encrypt them under the server's master key.
    Aes256,
    /// Encrypt them under a key that is called by name.
    Kms,
    /// Don't encrypt them, unless the server encrypts everything.
    None,
}

pub(super) fn run(args: &EncryptionArgs) -> Outcome {
    let key = args.kms_key.as_deref();
    if key.is_some() && !matches!(args.change, Some(Change::Kms)) {
        return Err(Usage("--kms-key is for kms alone".to_owned()).into());
    }
    let (client, bucket) = (S3Client::new(&args.ask.connection)?, &args.bucket);
    match args.change {
        Some(Change::Aes256) => client.put(bucket, "encryption", &[], xml("AES256", None))?,
        Some(Change::Kms) => client.put(bucket, "encryption", &[], xml("aws:kms", key))?,
        Some(Change::None) => client.delete(bucket, "encryption")?,
        None => {}
    }
    let rule = rule(&client, bucket)?;
    let of = |name: &str| {
        let text = rule.as_ref().map(|rule| rule.get(name));
        text.filter(|text| !text.is_empty())
    };
    let (algorithm, key) = (of("SSEAlgorithm"), of("KMSMasterKeyID"));
    if args.ask.json {
        return print_json(&json!({ "bucket": bucket, "algorithm": algorithm, "kms_key": key }));
    }
    let shown = algorithm.unwrap_or_else(|| {
        format!("off, unless a request asks for it: larder bucket encryption {bucket} aes256")
    });
    Ok(print(&facts([
        ("bucket", bucket.clone()),
        ("encryption", shown),
        ("key", key.unwrap_or_default()),
    ]))?)
}

fn xml(algorithm: &str, key: Option<&str>) -> String {
    let key = key.map_or(String::new(), |key| {
        format!("<KMSMasterKeyID>{}</KMSMasterKeyID>", escape(key))
    });
    format!(
        "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    )
}

/// What new objects are encrypted by; `None` where they are not.
fn rule(client: &S3Client, bucket: &str) -> ApiResult<Option<Element>> {
    const NONE: &str = "ServerSideEncryptionConfigurationNotFoundError";
    match client.get(bucket, "encryption") {
        Ok(found) => Ok(found.at("Rule/ApplyServerSideEncryptionByDefault").cloned()),
        Err(ApiError::Refused { code, .. }) if code == NONE => Ok(None),
        Err(error) => Err(error),
    }
}
