//! `GetPublicAccessBlock`, `PutPublicAccessBlock`, `DeletePublicAccessBlock`.

use larder_storage::objects::{BucketName, DocumentKind};

use super::{Call, small_body};
use crate::{
    access::PublicAccessBlock,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{MAX_SMALL_BYTES, public_access_block},
        write,
    },
};

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let found = PublicAccessBlock::set_for(bucket, call.store).await?;
    let block = found.ok_or_else(|| {
        S3Error::new(S3Code::NoSuchPublicAccessBlockConfiguration)
            .element("BucketName", bucket.as_str())
    })?;
    Ok(reply::xml(write::public_access_block(block)))
}

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    call.store.bucket_owner(bucket).await?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let block = public_access_block(&body)?;
    let document = serde_json::to_vec(&block).map_err(S3Error::internal)?;
    let kind = DocumentKind::PublicAccessBlock;
    call.store
        .set_document(bucket, kind, Some(&document))
        .await?;
    Ok(reply::empty())
}

pub(super) async fn delete(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let kind = DocumentKind::PublicAccessBlock;
    call.store.set_document(bucket, kind, None).await?;
    Ok(reply::no_content())
}
