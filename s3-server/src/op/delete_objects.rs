//! `DeleteObjects`: up to a thousand keys at a time, each with an outcome of its own.

use larder_storage::objects::{BucketName, DeleteItem, Deleted, StoreError};

use super::{
    Call,
    authorize::{self, Judge},
    call::parse_version,
    ingest::Plan,
    object_lock, small_body,
};
use crate::{
    audit::Deletion,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply, route,
    xml::{
        parse::{self, DeleteObject, MAX_DELETE_BYTES},
        write::{DeleteOutcome, DeletedObject, FailedDelete, delete_result},
    },
};

pub(super) async fn run(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    call.store.bucket(bucket).await?;
    let governance = object_lock::governance(&call, bucket).await?;
    let plan = Plan::of(&call)?;
    check_integrity(&plan)?;
    let body = small_body::read_planned(&mut call, plan, MAX_DELETE_BYTES).await?;
    let request = parse::delete(&body)?;
    let judge = authorize::deletions(bucket, &call).await?;
    let mut checked = Vec::with_capacity(request.objects.len());
    for object in &request.objects {
        checked.push(allowed(item(object), object, bucket, judge.as_ref()).await);
    }
    let items = checked
        .iter()
        .filter_map(|item| item.as_ref().ok())
        .cloned()
        .collect();
    let results = call.store.delete_objects(bucket, items, governance);
    let mut results = results.await?.into_iter();
    let outcomes: Vec<_> = checked
        .into_iter()
        .map(|item| item.and_then(|_| outcome(results.next())))
        .collect();
    call.trail.deleted(
        request
            .objects
            .iter()
            .zip(&outcomes)
            .map(|(object, outcome)| Deletion {
                key: &object.key,
                version: object.version_id.as_deref(),
                error: outcome.as_ref().err().map(|error| error.code().as_str()),
            }),
    );
    let pairs: Vec<_> = request
        .objects
        .iter()
        .zip(&outcomes)
        .map(|(object, o)| describe(object, o))
        .collect();
    Ok(reply::xml(delete_result(&pairs, request.quiet)))
}

/// AWS deletes nothing on the word of a body that nobody can check.
fn check_integrity(plan: &Plan) -> S3Result<()> {
    if plan.has_integrity() {
        return Ok(());
    }
    let message = "Missing required header for this request: Content-MD5";
    Err(S3Error::with_message(S3Code::InvalidRequest, message))
}

fn item(object: &DeleteObject) -> S3Result<DeleteItem> {
    let version = object.version_id.as_deref().filter(|v| !v.is_empty());
    let version = version.map(parse_version).transpose()?;
    // To ignore a condition would delete what the client meant to keep.
    if object.last_modified_time.is_some() || object.size.is_some() {
        return Err(S3Error::new(S3Code::NotImplemented));
    }
    let etag = object.etag.as_deref().map(str::parse).transpose();
    let if_match = etag.map_err(|_| S3Error::new(S3Code::PreconditionFailed))?;
    Ok(DeleteItem {
        key: route::parse_key(&object.key)?,
        version,
        if_match,
    })
}

/// The item, unless the caller may not delete it.
async fn allowed(
    item: S3Result<DeleteItem>,
    object: &DeleteObject,
    bucket: &BucketName,
    judge: Option<&Judge<'_>>,
) -> S3Result<DeleteItem> {
    let item = item?;
    if let Some(judge) = judge {
        let version = object.version_id.as_deref().filter(|v| !v.is_empty());
        judge.require_deletion(bucket, &item.key, version).await?;
    }
    Ok(item)
}

/// What the answer says of an object that was deleted.
struct Outcome {
    /// The delete marker that was made, or deleted.
    marker: Option<String>,
}

fn outcome(result: Option<Result<Deleted, StoreError>>) -> S3Result<Outcome> {
    match result {
        Some(Ok(deleted)) => Ok(Outcome {
            marker: deleted
                .version
                .filter(|_| deleted.is_delete_marker)
                .map(|version| version.to_string()),
        }),
        Some(Err(error)) => Err(error.into()),
        None => Err(S3Error::internal(
            "the store answered for fewer keys than it was asked",
        )),
    }
}

fn describe<'a>(object: &'a DeleteObject, outcome: &'a S3Result<Outcome>) -> DeleteOutcome<'a> {
    let (key, version_id) = (object.key.as_str(), object.version_id.as_deref());
    match outcome {
        Ok(Outcome { marker }) => DeleteOutcome::Deleted(DeletedObject {
            key,
            version_id,
            delete_marker_version_id: marker.as_deref(),
        }),
        Err(error) => DeleteOutcome::Failed(FailedDelete {
            key,
            version_id,
            error,
        }),
    }
}
