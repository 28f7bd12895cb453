//! Reading configurations that cannot be set yet: what AWS answers where none is set.

use larder_storage::objects::{BucketName, ObjectKey};

use super::Call;
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    route::Configuration,
};

pub(super) async fn of_bucket(
    which: Configuration,
    bucket: &BucketName,
    call: Call<'_>,
) -> S3Result<Response> {
    call.store.bucket(bucket).await?;
    let name = bucket.as_str();
    answer(which).map_err(|error| error.element("BucketName", name))
}

pub(super) async fn of_object(
    which: Configuration,
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let version = call.version_id()?;
    call.store
        .object_version(bucket, key, version)
        .await
        .map_err(|error| call.missing(error, key))?;
    answer(which)
}

fn answer(which: Configuration) -> S3Result<Response> {
    let missing = |code| Err(S3Error::new(code));
    match which {
        Configuration::Accelerate => Ok(empty("AccelerateConfiguration")),
        Configuration::Replication => missing(S3Code::ReplicationConfigurationNotFound),
        Configuration::RequestPayment => Ok(document(
            "RequestPaymentConfiguration",
            "<Payer>BucketOwner</Payer>",
        )),
        Configuration::Website => missing(S3Code::NoSuchWebsiteConfiguration),
    }
}

fn empty(root: &str) -> Response {
    document(root, "")
}

fn document(root: &str, content: &str) -> Response {
    reply::xml(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}</{root}>"
    ))
}
