//! `BucketClaim`s in standalone mode: each gets its `Bucket` object, and is ready when that is.
//!
//! A claim that is deleted waits for the accesses that were granted for it: credentials in use are not cut off by a slip. Then its `Bucket` object goes where the policy is `Delete`;
//! where it is `Retain` the object stays, released, and a claim of the same namespace and name, or any claim once an administrator has emptied `spec.bucketClaim`, takes it up by
//! `existingBucketName`.

use std::sync::Arc;

use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, PostParams},
    runtime::controller::Action,
};
use serde_json::{Map, Value, json};

use crate::{
    controllers::{
        context::{Context, is_deleting, is_held},
        failure::Failure,
        metrics::CLAIM_READY,
    },
    kube::{
        ACCESS_FINALIZER, Bucket, BucketAccess, BucketClaim, BucketClaimStatus, BucketClass,
        BucketSpec, CLAIM_FINALIZER, MANAGER, apply_status, bucket_name, delete, hold, merge,
        release,
    },
    provision::Parameters,
};

const KIND: &str = "BucketClaim";

/// One look at a claim.
pub(crate) async fn reconcile(
    claim: Arc<BucketClaim>,
    ctx: Arc<Context>,
) -> Result<Action, Failure> {
    let uid = claim.uid().unwrap_or_default();
    let about = async { Some(claim.object_ref(&())) };
    let work = async {
        if is_deleting(&*claim) {
            depart(&ctx, &claim).await
        } else {
            bind(&ctx, &claim).await
        }
    };
    Box::pin(ctx.reported(KIND, &uid, about, work)).await
}

/// What a claim is to be bound to.
struct Wanted {
    /// The class; gone by now, or not asked for.
    class: Option<BucketClass>,
    /// The bucket object, if it is there yet.
    bucket: Option<Bucket>,
}

async fn bind(ctx: &Context, claim: &BucketClaim) -> Result<Action, Failure> {
    let Some(wanted) = wanted(ctx, claim).await? else {
        return Ok(Action::await_change());
    };
    let claims: Api<BucketClaim> = ctx.beside(claim);
    let held = hold(&claims, claim, CLAIM_FINALIZER, &ctx.mark()).await?;
    let claim = held.as_ref().unwrap_or(claim);
    let bucket = match (claim.existing(), wanted.bucket) {
        (Some(_), Some(bucket)) => take_up(ctx, claim, bucket).await?,
        (_, bucket) => own(ctx, claim, wanted.class, bucket).await?,
    };
    show(ctx, &claims, claim, &bucket).await?;
    Ok(ctx.resync())
}

/// What the claim asks for; `None` where that is not this driver's.
async fn wanted(ctx: &Context, claim: &BucketClaim) -> Result<Option<Wanted>, Failure> {
    if let Some(name) = claim.existing() {
        return existing(ctx, claim, name).await;
    }
    let class = ctx.class(claim.class()).await?;
    let bucket = ctx.bucket(Some(&own_bucket(claim))).await?;
    match (&bucket, &class) {
        (Some(bucket), _) if !ctx.is_us(&bucket.spec.driver_name) => Ok(None),
        (None, None) => Err(no_class(claim)),
        (None, Some(class)) if !ctx.is_us(&class.driver_name) => Ok(None),
        _ => Ok(Some(Wanted { class, bucket })),
    }
}

fn no_class(claim: &BucketClaim) -> Failure {
    match claim.class() {
        Some(class) => Failure::wrong(
            "ClassNotFound",
            format!(
                "there is no BucketClass {class}; `kubectl get bucketclasses` shows those that there are"
            ),
        ),
        None => Failure::wrong(
            "NothingWanted",
            "the claim names neither bucketClassName nor existingBucketName; give one of them",
        ),
    }
}

/// The bucket object that was made for a claim, or will be.
fn own_bucket(claim: &BucketClaim) -> String {
    let made = || bucket_name(&claim.uid().unwrap_or_default());
    claim.bound().map_or_else(made, str::to_owned)
}

async fn existing(
    ctx: &Context,
    claim: &BucketClaim,
    name: &str,
) -> Result<Option<Wanted>, Failure> {
    let Some(bucket) = ctx.bucket(Some(name)).await? else {
        return Err(Failure::waits(
            "BucketNotFound",
            format!("there is no Bucket {name}; an administrator makes it, with existingBucketID"),
        ));
    };
    if !ctx.is_us(&bucket.spec.driver_name) {
        return Ok(None);
    }
    if let Some(bound) = claim.bound().filter(|bound| *bound != name) {
        return Err(Failure::wrong(
            "BucketChanged",
            format!(
                "the claim has Bucket {bound}, and a claim's bucket does not change; make another claim for {name}"
            ),
        ));
    }
    Ok(Some(Wanted {
        class: None,
        bucket: Some(bucket),
    }))
}

/// Sees to the claim's own bucket object.
async fn own(
    ctx: &Context,
    claim: &BucketClaim,
    class: Option<BucketClass>,
    bucket: Option<Bucket>,
) -> Result<Bucket, Failure> {
    let Some(bucket) = bucket else {
        let class = class.ok_or_else(|| no_class(claim))?;
        return make(ctx, claim, &class).await;
    };
    if bucket.claim_uid() != claim.meta().uid.as_deref() {
        return Err(taken(&bucket));
    }
    match class {
        Some(class) if !bucket.ready() && !is_deleting(&bucket) => {
            follow(ctx, bucket, &class).await
        }
        _ => Ok(bucket),
    }
}

async fn make(ctx: &Context, claim: &BucketClaim, class: &BucketClass) -> Result<Bucket, Failure> {
    let mut bucket = Bucket::named(&own_bucket(claim));
    bucket.spec = BucketSpec {
        driver_name: class.driver_name.clone(),
        bucket_class_name: class.name_any(),
        bucket_claim: claim.object_ref(&()),
        protocols: claim.spec.protocols.clone(),
        parameters: Some(class.parameters.clone().unwrap_or_default()),
        deletion_policy: Some(
            class
                .deletion_policy
                .clone()
                .unwrap_or_else(|| "Retain".to_owned()),
        ),
        existing_bucket_id: None,
    };
    let how = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    Ok(ctx.all::<Bucket>().create(&how, &bucket).await?)
}

/// A bucket that could not be made yet has what its class says now: a class is mended, and that is enough.
async fn follow(ctx: &Context, bucket: Bucket, class: &BucketClass) -> Result<Bucket, Failure> {
    let wanted = class.parameters.clone().unwrap_or_default();
    let have = bucket.parameters();
    if wanted == have {
        return Ok(bucket);
    }
    let body = json!({ "spec": { "parameters": replaced(&have, &wanted) } });
    Ok(merge(&ctx.all::<Bucket>(), &bucket, body).await?)
}

/// A merge that leaves what is wanted and nothing else.
fn replaced(have: &Parameters, wanted: &Parameters) -> Value {
    let gone = have.keys().map(|key| (key.clone(), Value::Null));
    let mut map: Map<String, Value> = gone.collect();
    map.extend(
        wanted
            .iter()
            .map(|(key, value)| (key.clone(), json!(value))),
    );
    Value::Object(map)
}

fn taken(bucket: &Bucket) -> Failure {
    let (namespace, name) = bucket.claim().unwrap_or(("", ""));
    Failure::wrong(
        "BucketTaken",
        format!(
            "Bucket {} is bound to BucketClaim {namespace}/{name}; if that claim is gone, an administrator can free the bucket: \
             kubectl patch bucket {0} --type=merge -p '{{\"spec\":{{\"bucketClaim\":{{\"name\":null,\"namespace\":null,\"uid\":null}}}}}}'",
            bucket.name_any()
        ),
    )
}

/// Binds a bucket object that is there to the claim.
async fn take_up(ctx: &Context, claim: &BucketClaim, bucket: Bucket) -> Result<Bucket, Failure> {
    if is_deleting(&bucket) {
        return Err(Failure::waits(
            "BucketDeleting",
            format!("Bucket {} is being deleted", bucket.name_any()),
        ));
    }
    if is_bound(claim, &bucket) {
        return Ok(bucket);
    }
    if !may_take(claim, &bucket) {
        return Err(taken(&bucket));
    }
    let ours = claim.object_ref(&());
    let body = json!({ "spec": { "bucketClaim": ours, "protocols": claim.spec.protocols } });
    let bound = merge(&ctx.all::<Bucket>(), &bucket, body).await?;
    let note = format!("Bucket {} is this claim's now", bound.name_any());
    ctx.events
        .done(&claim.object_ref(&()), "BucketAdopted", note)
        .await;
    Ok(bound)
}

pub(crate) fn is_bound(claim: &BucketClaim, bucket: &Bucket) -> bool {
    bucket.claim_uid() == claim.meta().uid.as_deref() && is_named(claim, bucket)
}

fn is_named(claim: &BucketClaim, bucket: &Bucket) -> bool {
    bucket.claim() == Some((&claim.namespace().unwrap_or_default(), &claim.name_any()))
}

/// A bucket may be taken by anybody where it names nobody, and by a claim of the namespace and name that it names: there is only one of these, so an earlier one is gone.
pub(crate) fn may_take(claim: &BucketClaim, bucket: &Bucket) -> bool {
    let named = &bucket.spec.bucket_claim;
    let free = named.name.is_none() && named.namespace.is_none() && named.uid.is_none();
    free || is_named(claim, bucket)
}

async fn show(
    ctx: &Context,
    claims: &Api<BucketClaim>,
    claim: &BucketClaim,
    bucket: &Bucket,
) -> Result<(), Failure> {
    let status = BucketClaimStatus {
        bucket_ready: bucket.ready() && !is_deleting(bucket),
        bucket_name: Some(bucket.name_any()),
    };
    if claim.status.as_ref() == Some(&status) {
        return Ok(());
    }
    apply_status(claims, claim, &status).await?;
    if status.bucket_ready && !claim.ready() {
        ctx.took(CLAIM_READY, claim);
    }
    Ok(())
}

/// Lets go of a claim that is being deleted.
async fn depart(ctx: &Context, claim: &BucketClaim) -> Result<Action, Failure> {
    if !is_held(claim, CLAIM_FINALIZER) {
        return Ok(Action::await_change());
    }
    let name = claim
        .existing()
        .filter(|_| claim.bound().is_none())
        .map_or_else(|| own_bucket(claim), str::to_owned);
    let bucket = ctx.bucket(Some(&name)).await?;
    if !is_ours(ctx, claim, bucket.as_ref()).await? {
        return Ok(Action::await_change());
    }
    no_holders(ctx, claim).await?;
    if let Some(bucket) = bucket.filter(|bucket| bucket.claim_uid() == claim.meta().uid.as_deref())
    {
        let kept = bucket.ready() && !bucket.deletes() && !is_deleting(&bucket);
        if !kept {
            return wait_for(ctx, &bucket).await;
        }
    }
    release(&ctx.beside(claim), claim, &[CLAIM_FINALIZER]).await?;
    Ok(Action::await_change())
}

async fn is_ours(
    ctx: &Context,
    claim: &BucketClaim,
    bucket: Option<&Bucket>,
) -> Result<bool, Failure> {
    if let Some(bucket) = bucket {
        return Ok(ctx.is_us(&bucket.spec.driver_name));
    }
    if ctx.marked(claim) {
        return Ok(true);
    }
    let class = ctx.class(claim.class()).await?;
    Ok(class.is_some_and(|class| ctx.is_us(&class.driver_name)))
}

/// Fails while accesses of the claim are in use.
pub(crate) async fn no_holders(ctx: &Context, claim: &BucketClaim) -> Result<(), Failure> {
    let accesses: Api<BucketAccess> = ctx.beside(claim);
    let all = accesses.list(&ListParams::default()).await?;
    let name = claim.name_any();
    let mut holders: Vec<String> = all
        .iter()
        .filter(|access| access.spec.bucket_claim_name == name)
        .filter(|access| is_held(*access, ACCESS_FINALIZER))
        .map(ResourceExt::name_any)
        .collect();
    if holders.is_empty() {
        return Ok(());
    }
    holders.sort();
    holders.truncate(5);
    Err(Failure::waits(
        "WaitingForAccesses",
        format!(
            "the claim goes once its BucketAccesses are gone: {}; delete them first",
            holders.join(", ")
        ),
    ))
}

/// Has the bucket object deleted, and waits: its going is what the claim is looked at for again.
async fn wait_for(ctx: &Context, bucket: &Bucket) -> Result<Action, Failure> {
    if !is_deleting(bucket) {
        delete(&ctx.all::<Bucket>(), bucket).await?;
    }
    Ok(ctx.resync())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn claim(namespace: &str, name: &str, uid: &str) -> BucketClaim {
        let mut claim = BucketClaim::named(name);
        claim.metadata.namespace = Some(namespace.to_owned());
        claim.metadata.uid = Some(uid.to_owned());
        claim
    }

    #[test]
    fn a_bucket_is_taken_by_the_next_claim_of_its_name_or_by_anybody_when_it_is_free() {
        let old = claim("shop", "photos", "old");
        let mut bucket = Bucket::named("bucket-old");
        bucket.spec.bucket_claim = old.object_ref(&());
        assert!(may_take(&claim("shop", "photos", "new"), &bucket));
        assert!(!may_take(&claim("shop", "videos", "new"), &bucket));
        assert!(!may_take(&claim("thief", "photos", "new"), &bucket));
        bucket.spec.bucket_claim = ObjectReference::default();
        assert!(may_take(&claim("thief", "photos", "new"), &bucket));
    }

    #[test]
    fn a_bucket_that_names_a_claim_in_part_is_not_free() {
        let mut bucket = Bucket::named("b");
        bucket.spec.bucket_claim.uid = Some("somebodys".to_owned());
        assert!(!may_take(&claim("shop", "photos", "new"), &bucket));
    }

    #[test]
    fn parameters_follow_the_class_without_leftovers() {
        let have = Parameters::from([("quotabyte".into(), "1".into()), ("a".into(), "1".into())]);
        let wanted =
            Parameters::from([("quotaBytes".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(
            replaced(&have, &wanted),
            json!({ "quotabyte": null, "quotaBytes": "1", "a": "2" })
        );
    }

    #[test]
    fn a_claim_keeps_the_bucket_that_it_was_bound_to_by_an_earlier_release() {
        let mut old = claim("shop", "photos", "u");
        assert_eq!(own_bucket(&old), "bucket-u");
        old.status = Some(BucketClaimStatus {
            bucket_ready: true,
            bucket_name: Some("fastu".to_owned()),
        });
        assert_eq!(own_bucket(&old), "fastu");
    }
}
