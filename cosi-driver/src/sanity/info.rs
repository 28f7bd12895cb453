//! What the sidecar of v1alpha2 looks for in answers, and does without nothing of.

use super::{
    driver::AnswerV1Alpha2,
    report::{NotOk, failed},
    s3::Keys,
    world::Granted,
};
use crate::grpc::pb::v1alpha2::{
    ObjectProtocolAndBucketInfo, S3BucketInfo, s3_addressing_style::Style,
};

/// Where a bucket is, by S3 and nothing else.
///
/// # Errors
/// There is something missing, or too much.
pub fn place(info: Option<&ObjectProtocolAndBucketInfo>) -> Result<&S3BucketInfo, NotOk> {
    let info = info.ok_or_else(|| failed("there are no protocols in the answer"))?;
    if info.azure.is_some() || info.gcs.is_some() {
        return Err(failed("there are protocols in it that were not asked for"));
    }
    let s3 = info
        .s3
        .as_ref()
        .ok_or_else(|| failed("there is no s3 in its protocols"))?;
    let fields = [
        ("bucket_id", &s3.bucket_id),
        ("endpoint", &s3.endpoint),
        ("region", &s3.region),
    ];
    if let Some((field, _)) = fields.iter().find(|(_, value)| value.is_empty()) {
        return Err(failed(format!("s3 has no {field}")));
    }
    match s3.addressing_style.unwrap_or_default().style() {
        Style::Path | Style::Virtual => Ok(s3),
        Style::Unknown => Err(failed("s3 has no addressing_style")),
    }
}

/// What the sidecar makes Secrets of: all buckets that were asked for and no other, each with its place, and a key.
///
/// # Errors
/// There is something missing, or too much.
pub fn as_secret(granted: &AnswerV1Alpha2) -> Result<Granted, NotOk> {
    if granted.account.is_empty() {
        return Err(failed("account_id is empty"));
    }
    let answered = &granted.response.buckets;
    let mut ids: Vec<&String> = answered.iter().map(|it| &it.bucket_id).collect();
    let mut asked: Vec<&String> = granted.asked.iter().collect();
    ids.sort_unstable();
    asked.sort_unstable();
    if ids != asked {
        return Err(failed(format!("buckets are {ids:?}, asked for {asked:?}")));
    }
    let places = answered.iter().map(|it| place(it.bucket_info.as_ref()));
    let places: Vec<&S3BucketInfo> = places.collect::<Result<_, _>>()?;
    let first = places
        .first()
        .ok_or_else(|| failed("there are no buckets in the answer"))?;
    let credentials = granted.response.credentials.as_ref();
    let credentials = credentials.ok_or_else(|| failed("there are no credentials"))?;
    if credentials.azure.is_some() || credentials.gcs.is_some() {
        return Err(failed(
            "there are credentials of protocols that were not asked for",
        ));
    }
    let s3 = credentials
        .s3
        .as_ref()
        .ok_or_else(|| failed("credentials have no s3"))?;
    if s3.access_key_id.is_empty() || s3.access_secret_key.is_empty() {
        return Err(failed("credentials of s3 lack a key"));
    }
    Ok(Granted {
        account: granted.account.clone(),
        keys: Keys {
            access_key: s3.access_key_id.clone(),
            secret_key: s3.access_secret_key.clone().into(),
            endpoint: first.endpoint.clone(),
            region: first.region.clone(),
        },
    })
}
