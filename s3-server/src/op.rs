//! The S3 operations, a file each. They turn headers and XML into calls of the store and back.
//!
//! Invariant: nothing of a body is asked for before everything that can be refused without it has
//! been checked, so that `Expect: 100-continue` saves the transfer.

mod abort_multipart_upload;
mod acl;
mod authorize;
mod bucket_cors;
mod bucket_encryption;
mod bucket_lifecycle;
mod bucket_logging;
mod bucket_notification;
mod bucket_policy;
mod bucket_tagging;
mod bucket_versioning;
mod call;
mod checksums;
mod complete_multipart_upload;
mod conditions;
mod copy_object;
mod copy_source;
mod create_bucket;
mod create_multipart_upload;
mod delete_bucket;
mod delete_object;
mod delete_object_tagging;
mod delete_objects;
mod encryption;
mod get_bucket_location;
mod get_object;
mod get_object_attributes;
mod get_object_tagging;
mod get_unset;
mod head_bucket;
mod head_object;
mod ingest;
mod list_buckets;
mod list_multipart_uploads;
mod list_object_versions;
mod list_objects;
mod list_objects_v2;
mod list_parts;
mod listing;
mod metadata;
mod object_acl;
mod object_legal_hold;
mod object_lock;
mod object_retention;
mod owners;
mod ownership_controls;
mod post_object;
mod public_access_block;
mod put_object;
mod put_object_tagging;
mod range;
mod small_body;
mod store_error;
mod upload_part;
mod upload_part_copy;

use larder_storage::objects::{BucketName, ObjectKey};

use authorize::Checked;

pub use authorize::Decided;
pub(crate) use bucket_cors::{expose, is_preflight, preflight};
pub use call::Call;
#[cfg(any(test, feature = "testing"))]
pub(crate) use encryption::fuzz_envelope;
pub(crate) use encryption::{rewrapped, seal_object};
pub(crate) use post_object::{is_form, post_object};
pub(crate) use small_body::read as read_small_body;

use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    route::{Operation, Target},
};

/// Runs `operation` on `target`.
///
/// # Errors
/// Those of the operation.
pub async fn run(operation: Operation, target: &Target, mut call: Call<'_>) -> S3Result<Response> {
    call::check_readable(call.headers())?;
    let Checked {
        missing,
        must_be_new,
        decided,
    } = authorize::check(operation, target, &call).await?;
    call.must_be_new = must_be_new;
    call.decided = decided;
    let heralded = operation.writes_objects().then(|| call.heralded(operation));
    let mut call = call;
    if let Some(store) = &heralded {
        call.store = store;
    }
    let answer = match target {
        Target::Service => list_buckets::run(call).await,
        Target::Bucket(bucket) => Box::pin(on_bucket(operation, bucket, call)).await,
        Target::Object(bucket, key) => on_object(operation, bucket, key, call).await,
    };
    answer.map_err(|error| missing.hide(error))
}

async fn on_bucket(
    operation: Operation,
    bucket: &BucketName,
    call: Call<'_>,
) -> S3Result<Response> {
    match operation {
        Operation::CreateBucket => create_bucket::run(bucket, call).await,
        Operation::HeadBucket => head_bucket::run(bucket, call).await,
        Operation::DeleteBucket => delete_bucket::run(bucket, call).await,
        Operation::GetBucketLocation => get_bucket_location::run(bucket, call).await,
        Operation::GetBucketCors => bucket_cors::get(bucket, call).await,
        Operation::PutBucketCors => bucket_cors::put(bucket, call).await,
        Operation::DeleteBucketCors => bucket_cors::delete(bucket, call).await,
        Operation::GetBucketEncryption => bucket_encryption::get(bucket, call).await,
        Operation::PutBucketEncryption => bucket_encryption::put(bucket, call).await,
        Operation::DeleteBucketEncryption => bucket_encryption::delete(bucket, call).await,
        Operation::GetBucketLogging => bucket_logging::get(bucket, call).await,
        Operation::PutBucketLogging => bucket_logging::put(bucket, call).await,
        Operation::GetBucketNotificationConfiguration => {
            bucket_notification::get(bucket, call).await
        }
        Operation::PutBucketNotificationConfiguration => {
            bucket_notification::put(bucket, call).await
        }
        Operation::GetBucketTagging => bucket_tagging::get(bucket, call).await,
        Operation::PutBucketTagging => bucket_tagging::put(bucket, call).await,
        Operation::DeleteBucketTagging => bucket_tagging::delete(bucket, call).await,
        Operation::GetBucketVersioning => bucket_versioning::get(bucket, call).await,
        Operation::PutBucketVersioning => bucket_versioning::put(bucket, call).await,
        Operation::GetBucketLifecycleConfiguration => bucket_lifecycle::get(bucket, call).await,
        Operation::PutBucketLifecycleConfiguration => bucket_lifecycle::put(bucket, call).await,
        Operation::DeleteBucketLifecycle => bucket_lifecycle::delete(bucket, call).await,
        Operation::GetObjectLockConfiguration => object_lock::get(bucket, call).await,
        Operation::PutObjectLockConfiguration => object_lock::put(bucket, call).await,
        Operation::GetBucketPolicy => bucket_policy::get(bucket, call).await,
        Operation::PutBucketPolicy => bucket_policy::put(bucket, call).await,
        Operation::DeleteBucketPolicy => bucket_policy::delete(bucket, call).await,
        Operation::GetBucketPolicyStatus => bucket_policy::status(bucket, call).await,
        Operation::GetPublicAccessBlock => public_access_block::get(bucket, call).await,
        Operation::PutPublicAccessBlock => public_access_block::put(bucket, call).await,
        Operation::DeletePublicAccessBlock => public_access_block::delete(bucket, call).await,
        Operation::GetBucketOwnershipControls => ownership_controls::get(bucket, call).await,
        Operation::PutBucketOwnershipControls => ownership_controls::put(bucket, call).await,
        Operation::DeleteBucketOwnershipControls => ownership_controls::delete(bucket, call).await,
        Operation::GetBucketAcl => acl::get_bucket(bucket, call).await,
        Operation::PutBucketAcl => acl::put_bucket(bucket, call).await,
        Operation::GetUnset(configuration) => {
            get_unset::of_bucket(configuration, bucket, call).await
        }
        Operation::ListObjects => list_objects::run(bucket, call).await,
        Operation::ListObjectsV2 => list_objects_v2::run(bucket, call).await,
        Operation::ListObjectVersions => list_object_versions::run(bucket, call).await,
        Operation::ListMultipartUploads => list_multipart_uploads::run(bucket, call).await,
        Operation::DeleteObjects => delete_objects::run(bucket, call).await,
        _ => Err(misrouted(operation)),
    }
}

/// The three operations that are asked for most stay off the heap.
async fn on_object(
    operation: Operation,
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    match operation {
        Operation::HeadObject => head_object::run(bucket, key, call).await,
        Operation::GetObject => get_object::run(bucket, key, call).await,
        Operation::PutObject => Box::pin(put_object::run(bucket, key, call)).await,
        _ => Box::pin(on_object_rarely(operation, bucket, key, call)).await,
    }
}

async fn on_object_rarely(
    operation: Operation,
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    match operation {
        Operation::CopyObject => copy_object::run(bucket, key, call).await,
        Operation::DeleteObject => delete_object::run(bucket, key, call).await,
        Operation::GetUnset(which) => get_unset::of_object(which, bucket, key, call).await,
        Operation::GetObjectAttributes => get_object_attributes::run(bucket, key, call).await,
        Operation::GetObjectAcl => object_acl::get(bucket, key, call).await,
        Operation::PutObjectAcl => object_acl::put(bucket, key, call).await,
        Operation::GetObjectTagging => get_object_tagging::run(bucket, key, call).await,
        Operation::GetObjectRetention => object_retention::get(bucket, key, call).await,
        Operation::PutObjectRetention => object_retention::put(bucket, key, call).await,
        Operation::GetObjectLegalHold => object_legal_hold::get(bucket, key, call).await,
        Operation::PutObjectLegalHold => object_legal_hold::put(bucket, key, call).await,
        Operation::PutObjectTagging => put_object_tagging::run(bucket, key, call).await,
        Operation::DeleteObjectTagging => delete_object_tagging::run(bucket, key, call).await,
        Operation::CreateMultipartUpload => create_multipart_upload::run(bucket, key, call).await,
        Operation::UploadPart => upload_part::run(bucket, key, call).await,
        Operation::UploadPartCopy => upload_part_copy::run(bucket, key, call).await,
        Operation::CompleteMultipartUpload => {
            complete_multipart_upload::run(bucket, key, call).await
        }
        Operation::AbortMultipartUpload => abort_multipart_upload::run(bucket, key, call).await,
        Operation::ListParts => list_parts::run(bucket, key, call).await,
        _ => Err(misrouted(operation)),
    }
}

fn misrouted(operation: Operation) -> S3Error {
    let reason = format!(
        "{} was routed to the wrong kind of target",
        operation.name()
    );
    S3Error::new(S3Code::InternalError).source_of(reason)
}
