//! Reading configurations that cannot be set yet: what AWS answers where none is set.

use larder_storage::objects::{BucketName, ObjectKey};
use quick_xml::escape::escape;

use super::{Call, listing};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    route::Configuration,
    xml::write::Owner,
};

pub(super) async fn of_bucket(
    which: Configuration,
    bucket: &BucketName,
    call: Call<'_>,
) -> S3Result<Response> {
    call.store.bucket(bucket).await?;
    let name = bucket.as_str();
    let owner = listing::owner(&call, bucket).await?;
    answer(which, &owner).map_err(|error| error.element("BucketName", name))
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
    answer(which, &listing::owner(&call, bucket).await?)
}

fn answer(which: Configuration, owner: &Owner) -> S3Result<Response> {
    let missing = |code| Err(S3Error::new(code));
    match which {
        Configuration::Accelerate => Ok(empty("AccelerateConfiguration")),
        Configuration::Acl => Ok(acl(owner)),
        Configuration::Encryption => missing(S3Code::ServerSideEncryptionConfigurationNotFound),
        Configuration::Logging => Ok(empty("BucketLoggingStatus")),
        Configuration::Notification => Ok(empty("NotificationConfiguration")),
        Configuration::OwnershipControls => missing(S3Code::OwnershipControlsNotFound),
        Configuration::Policy | Configuration::PolicyStatus => missing(S3Code::NoSuchBucketPolicy),
        Configuration::PublicAccessBlock => missing(S3Code::NoSuchPublicAccessBlockConfiguration),
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

/// The owner may do everything, and nobody else anything.
fn acl(owner: &Owner) -> Response {
    let Owner { id, display_name } = owner;
    let owner = format!(
        "<ID>{}</ID><DisplayName>{}</DisplayName>",
        escape(id.as_str()),
        escape(display_name.as_str())
    );
    document(
        "AccessControlPolicy",
        &format!(
            "<Owner>{owner}</Owner><AccessControlList><Grant>\
             <Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:type=\"CanonicalUser\">{owner}</Grantee>\
             <Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
        ),
    )
}
