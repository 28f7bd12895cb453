//! What upstream's controller and sidecar (v0.2.2) leave behind, mended; they do the rest.
//!
//! | what | how |
//! |---|---|
//! | a claim stays not ready: the controller writes `bucketReady: false` after the sidecar wrote `true` | it is written again, as often as that happens |
//! | a static claim that was there before its `Bucket` has no `bucketName` | it is bound |
//! | an access can't go, as its claim, `Bucket` or Secret went first | account and Secret are removed, then the finalizer |
//! | a Secret of that name was there before: the access counts as granted and nobody has credentials | an event says so |
//! | claims wait for ever where there is the controller, but no sidecar for the driver | an event says so |
//! | a static `Bucket` is called ready without a look | an event says that there is no such bucket |

use std::{sync::Arc, time::Duration};

use kube::{Api, Resource, ResourceExt, runtime::controller::Action};
use serde_json::json;

use crate::{
    controllers::{
        access::{asked, is_ours, undo},
        bucket::{check, owner},
        claim::{is_bound, may_take},
        clock::{after, now, until},
        context::{Context, is_deleting, is_held},
        failure::Failure,
        keys, secret,
        settings::Mode,
        upstream::who,
    },
    kube::{
        ACCESS_FINALIZER, Bucket, BucketAccess, BucketClaim, BucketClaimStatus, apply_status,
        merge, release,
    },
};

/// One look at a claim.
pub(crate) async fn claim(claim: Arc<BucketClaim>, ctx: Arc<Context>) -> Result<Action, Failure> {
    let uid = claim.uid().unwrap_or_default();
    let about = async { Some(claim.object_ref(&())) };
    let work = heal_claim(&ctx, &claim);
    Box::pin(ctx.reported("BucketClaim", &uid, about, work)).await
}

async fn heal_claim(ctx: &Context, claim: &BucketClaim) -> Result<Action, Failure> {
    if is_deleting(claim) || claim.ready() || claim.status.is_none() {
        return Ok(Action::await_change());
    }
    let bucket = ctx
        .bucket(claim.bound().or_else(|| claim.existing()))
        .await?;
    let Some(bucket) = bucket.filter(|bucket| ctx.is_us(&bucket.spec.driver_name)) else {
        return Ok(ctx.resync());
    };
    if !bucket.ready() {
        look_for_sidecar(ctx).await?;
    }
    if !is_usable(ctx, &bucket) {
        return Ok(ctx.resync());
    }
    if !is_bound(claim, &bucket) {
        return bind(ctx, claim, bucket).await;
    }
    let status = BucketClaimStatus {
        bucket_ready: true,
        bucket_name: Some(bucket.name_any()),
    };
    apply_status(&ctx.beside(claim), claim, &status).await?;
    let what = match claim.bound() {
        Some(_) => "claim_ready",
        None => "claim_bound",
    };
    ctx.metrics.repaired(what);
    tracing::info!(what, claim = claim.name_any(), "a claim was mended");
    Ok(ctx.resync())
}

/// Upstream's controller makes `Bucket` objects, but no buckets. Whoever chose the mode has been told of it, and the process may not read the controller's lease.
async fn look_for_sidecar(ctx: &Context) -> Result<(), Failure> {
    if ctx.settings.mode != Mode::Auto {
        return Ok(());
    }
    let at_work = who(&ctx.client, &ctx.settings.places()).await?;
    if at_work.sidecar || !at_work.controller {
        return Ok(());
    }
    let driver = &ctx.settings.driver;
    Err(Failure::wrong(
        "NoSidecar",
        format!(
            "upstream's controller looks after claims in this cluster, and there is no sidecar of its that would make the buckets of {driver}: an administrator has to add it to the driver's pod (helm upgrade, with --set cosi.sidecar.enabled=true)"
        ),
    ))
}

fn is_usable(ctx: &Context, bucket: &Bucket) -> bool {
    ctx.is_us(&bucket.spec.driver_name) && bucket.ready() && !is_deleting(bucket)
}

/// Only what is free is bound; whoever else names the bucket keeps it.
async fn bind(ctx: &Context, claim: &BucketClaim, bucket: Bucket) -> Result<Action, Failure> {
    let wanted = claim.existing() == Some(&bucket.name_any());
    if !wanted || !may_take(claim, &bucket) {
        return Ok(ctx.resync());
    }
    let spec = json!({ "bucketClaim": claim.object_ref(&()), "protocols": claim.spec.protocols });
    merge(&ctx.all::<Bucket>(), &bucket, json!({ "spec": spec })).await?;
    // The change of the bucket brings the claim here again.
    Ok(Action::requeue(Duration::from_secs(1)))
}

/// One look at a bucket.
pub(crate) async fn bucket(bucket: Arc<Bucket>, ctx: Arc<Context>) -> Result<Action, Failure> {
    if !is_usable(&ctx, &bucket) {
        return Ok(Action::await_change());
    }
    let uid = bucket.uid().unwrap_or_default();
    let about = owner(&ctx, &bucket);
    Box::pin(ctx.reported("Bucket", &uid, about, check(&ctx, &bucket))).await
}

/// One look at an access.
pub(crate) async fn access(
    access: Arc<BucketAccess>,
    ctx: Arc<Context>,
) -> Result<Action, Failure> {
    let uid = access.uid().unwrap_or_default();
    let about = async { Some(access.object_ref(&())) };
    let work = async {
        if is_deleting(&*access) {
            unstick(&ctx, &access).await
        } else {
            attend(&ctx, &access).await
        }
    };
    Box::pin(ctx.reported("BucketAccess", &uid, about, work)).await
}

/// Finishes a deletion that upstream can't.
async fn unstick(ctx: &Context, access: &BucketAccess) -> Result<Action, Failure> {
    if !is_held(access, ACCESS_FINALIZER) || !is_ours(ctx, access).await? {
        return Ok(Action::await_change());
    }
    let since = access.meta().deletion_timestamp.as_ref();
    let patience = ctx.settings.stuck_after;
    let due = since.map_or_else(now, |since| after(since.0, patience));
    let left = until(due, now());
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    if !is_stuck(ctx, access).await? {
        return Ok(Action::requeue(patience));
    }
    undo(ctx, access).await?;
    release(&ctx.beside(access), access, &[ACCESS_FINALIZER]).await?;
    ctx.metrics.repaired("access_stuck");
    tracing::info!(
        access = access.name_any(),
        "an access that could not go went"
    );
    Ok(Action::await_change())
}

/// Whether something is gone without which upstream's sidecar does not finish.
async fn is_stuck(ctx: &Context, access: &BucketAccess) -> Result<bool, Failure> {
    let claims: Api<BucketClaim> = ctx.beside(access);
    let claim = claims.get_opt(&access.spec.bucket_claim_name).await?;
    let bucket = ctx
        .bucket(claim.as_ref().and_then(BucketClaim::bound))
        .await?;
    if bucket.is_none() {
        return Ok(true);
    }
    let secret = secret::find(ctx, access).await;
    Ok(!matches!(secret, Ok(Some(_))))
}

/// Sees to what upstream's sidecar does not: further keys, rotation, a Secret that was deleted or is somebody else's.
async fn attend(ctx: &Context, access: &BucketAccess) -> Result<Action, Failure> {
    if !access.granted() {
        return Ok(Action::await_change());
    }
    let class = ctx
        .access_class(&access.spec.bucket_access_class_name)
        .await?;
    let Some(class) = class.filter(|class| ctx.is_us(&class.driver_name)) else {
        return Ok(Action::await_change());
    };
    let claims: Api<BucketClaim> = ctx.beside(access);
    let claim = claims.get_opt(&access.spec.bucket_claim_name).await?;
    let bucket = ctx
        .bucket(claim.as_ref().and_then(BucketClaim::bound))
        .await?;
    let Some(bucket) = bucket.filter(|bucket| is_usable(ctx, bucket)) else {
        return Ok(ctx.resync());
    };
    let grant = asked(access, &class, &bucket)?;
    keys::settle(ctx, access, &class, &bucket, &grant).await
}
