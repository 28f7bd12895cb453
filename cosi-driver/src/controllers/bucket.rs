//! `Bucket` objects in standalone mode: each is made in the store, or looked for there where an administrator named one, and goes as its policy says.
//!
//! A `Bucket` that is deleted while its claim lives stays until the claim goes, as a volume does. A bucket in the store that another `Bucket` object names is never deleted.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Api, Resource, ResourceExt, api::ListParams, runtime::controller::Action};

use crate::{
    controllers::{
        claim::no_holders,
        context::{Context, is_deleting, is_held},
        failure::Failure,
    },
    kube::{
        BUCKET_ACCESS_FINALIZER, BUCKET_FINALIZER, Bucket, BucketClaim, BucketStatus, apply_status,
        hold, release,
    },
    provision::ProvisionError,
};

const KIND: &str = "Bucket";

/// One look at a bucket.
pub(crate) async fn reconcile(bucket: Arc<Bucket>, ctx: Arc<Context>) -> Result<Action, Failure> {
    if !ctx.is_us(&bucket.spec.driver_name) {
        return Ok(Action::await_change());
    }
    let uid = bucket.uid().unwrap_or_default();
    let work = async {
        if is_deleting(&*bucket) {
            depart(&ctx, &bucket).await
        } else {
            provide(&ctx, &bucket).await
        }
    };
    let about = owner(&ctx, &bucket);
    Box::pin(ctx.reported(KIND, &uid, about, work)).await
}

/// Whom to tell: the claim, which is what its user looks at; the bucket itself where it has none.
pub(crate) async fn owner(ctx: &Context, bucket: &Bucket) -> Option<ObjectReference> {
    let claim = claim_of(ctx, bucket).await.ok().flatten();
    Some(claim.map_or_else(|| bucket.object_ref(&()), |claim| claim.object_ref(&())))
}

/// The claim that a bucket is bound to, as long as it is that very one.
pub(crate) async fn claim_of(
    ctx: &Context,
    bucket: &Bucket,
) -> Result<Option<BucketClaim>, Failure> {
    let Some((namespace, name)) = bucket.claim() else {
        return Ok(None);
    };
    let claims: Api<BucketClaim> = Api::namespaced(ctx.client.clone(), namespace);
    let claim = claims.get_opt(name).await?;
    Ok(claim.filter(|claim| {
        bucket.claim_uid().is_none() || bucket.claim_uid() == claim.meta().uid.as_deref()
    }))
}

async fn provide(ctx: &Context, bucket: &Bucket) -> Result<Action, Failure> {
    let buckets: Api<Bucket> = ctx.all();
    let held = hold(&buckets, bucket, BUCKET_FINALIZER, &ctx.mark()).await?;
    let bucket = held.as_ref().unwrap_or(bucket);
    if bucket.ready() {
        return check(ctx, bucket).await;
    }
    let info = match bucket.existing() {
        Some(id) => ctx.provisioner.existing_bucket(id).await,
        None => {
            ctx.provisioner
                .create_bucket(&bucket.name_any(), &bucket.parameters())
                .await
        }
    };
    let info = info.map_err(|error| refused(bucket, error))?;
    let status = BucketStatus {
        bucket_ready: true,
        bucket_id: Some(info.id),
    };
    apply_status(&buckets, bucket, &status).await?;
    Ok(ctx.resync())
}

fn refused(bucket: &Bucket, error: ProvisionError) -> Failure {
    match (bucket.existing(), &error) {
        (Some(id), ProvisionError::NotFound(_)) => missing(id),
        _ => Failure::Store("FailedCreateBucket", error),
    }
}

pub(crate) fn missing(id: &str) -> Failure {
    Failure::wrong(
        "BucketMissing",
        format!(
            "there is no bucket {id} in the store; make it, or correct existingBucketID of the Bucket"
        ),
    )
}

/// Whether the bucket is still there: whoever uses it hears it from here sooner than from an application.
pub(crate) async fn check(ctx: &Context, bucket: &Bucket) -> Result<Action, Failure> {
    let uid = bucket.uid().unwrap_or_default();
    let id = bucket.id().unwrap_or_default();
    if ctx.lately.seen(&uid, id, ctx.settings.resync / 2) {
        return Ok(ctx.resync());
    }
    match ctx.provisioner.existing_bucket(id).await {
        Ok(_) => {
            ctx.lately.note(&uid, id.to_owned(), ctx.settings.resync);
            Ok(ctx.resync())
        }
        Err(ProvisionError::NotFound(_)) => Err(missing(id)),
        Err(error) => Err(Failure::Store("BucketUnknown", error)),
    }
}

async fn depart(ctx: &Context, bucket: &Bucket) -> Result<Action, Failure> {
    let ours = [BUCKET_FINALIZER, BUCKET_ACCESS_FINALIZER];
    if !ours.iter().any(|name| is_held(bucket, name)) {
        return Ok(Action::await_change());
    }
    unclaimed(ctx, bucket).await?;
    if bucket.deletes() {
        remove(ctx, bucket).await?;
    }
    release(&ctx.all(), bucket, &ours).await?;
    Ok(Action::await_change())
}

/// Fails while a claim has use for the bucket.
async fn unclaimed(ctx: &Context, bucket: &Bucket) -> Result<(), Failure> {
    let Some(claim) = claim_of(ctx, bucket).await? else {
        return Ok(());
    };
    if is_deleting(&claim) {
        return no_holders(ctx, &claim).await;
    }
    Err(Failure::waits(
        "BucketInUse",
        format!(
            "Bucket {} is marked for deletion; it goes when this claim is deleted",
            bucket.name_any()
        ),
    ))
}

async fn remove(ctx: &Context, bucket: &Bucket) -> Result<(), Failure> {
    let Some(id) = bucket.wanted_id() else {
        return Ok(());
    };
    if let Some(other) = other_of(ctx, bucket, id).await? {
        tracing::info!(id, other, "a bucket stays: another Bucket object names it");
        return Ok(());
    }
    ctx.provisioner
        .delete_bucket(id, &bucket.parameters())
        .await
        .map_err(|error| Failure::Store("FailedDeleteBucket", error))
}

/// Another bucket object for the same bucket in the store.
async fn other_of(ctx: &Context, bucket: &Bucket, id: &str) -> Result<Option<String>, Failure> {
    let all = ctx.all::<Bucket>().list(&ListParams::default()).await?;
    let other = all
        .iter()
        .filter(|other| other.uid() != bucket.uid() && ctx.is_us(&other.spec.driver_name))
        .find(|other| other.wanted_id() == Some(id));
    Ok(other.map(ResourceExt::name_any))
}
