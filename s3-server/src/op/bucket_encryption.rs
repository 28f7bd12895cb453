//! `PutBucketEncryption`, `GetBucketEncryption`, `DeleteBucketEncryption`: how objects are kept whose requests don't say.

use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{DefaultEncryption, MAX_SMALL_BYTES, bucket_encryption},
        write,
    },
};

const WITH_BUCKET_KEY: &[u8] = b"AES256 bucket-key";
const PLAIN: &[u8] = b"AES256";

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    call.store.bucket_owner(bucket).await?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let asked = bucket_encryption(&body)?;
    let document = match asked {
        DefaultEncryption::Aes256 { bucket_key: true } => WITH_BUCKET_KEY,
        DefaultEncryption::Aes256 { bucket_key: false } => PLAIN,
        DefaultEncryption::Unbuilt => return Err(S3Error::new(S3Code::NotImplemented)),
    };
    let kind = DocumentKind::Encryption;
    call.store
        .set_document(bucket, kind, Some(document))
        .await?;
    Ok(reply::empty())
}

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = call
        .store
        .document(bucket, DocumentKind::Encryption)
        .await?;
    if found.is_none() && !call.app.encrypt_all {
        let code = S3Code::ServerSideEncryptionConfigurationNotFound;
        return Err(S3Error::new(code).element("BucketName", bucket.as_str()));
    }
    let bucket_key = found.is_some_and(|document| document.bytes() == WITH_BUCKET_KEY);
    Ok(reply::xml(write::bucket_encryption(bucket_key)))
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let kind = DocumentKind::Encryption;
    call.store.set_document(bucket, kind, None).await?;
    Ok(reply::no_content())
}

/// Whether objects of this bucket are encrypted without being asked for. A document that can't be read says so as well.
///
/// # Errors
/// Those of the store.
pub(super) async fn is_default(bucket: &BucketName, call: &Call<'_>) -> S3Result<bool> {
    if call.app.encrypt_all {
        return Ok(true);
    }
    let found = call
        .store
        .document(bucket, DocumentKind::Encryption)
        .await?;
    Ok(found.is_some())
}
