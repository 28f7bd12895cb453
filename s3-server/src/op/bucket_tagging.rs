//! `PutBucketTagging`, `GetBucketTagging`, `DeleteBucketTagging`.

use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{MAX_SMALL_BYTES, bucket_tagging},
        write,
    },
};

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let document = write::tagging(&bucket_tagging(&body)?);
    let set = call
        .store
        .set_document(bucket, DocumentKind::Tags, Some(document.as_bytes()));
    set.await?;
    Ok(reply::no_content())
}

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = call.store.document(bucket, DocumentKind::Tags).await?;
    let Some(document) = found else {
        let error = S3Error::new(S3Code::NoSuchTagSet);
        return Err(error.element("BucketName", bucket.as_str()));
    };
    Ok(reply::xml(document.bytes().to_vec()))
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let store = call.store;
    store.set_document(bucket, DocumentKind::Tags, None).await?;
    Ok(reply::no_content())
}
