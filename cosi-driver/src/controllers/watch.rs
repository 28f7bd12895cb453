//! Which objects are looked at, and which others bring them up again.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures_util::StreamExt;
use kube::{
    Resource, ResourceExt,
    runtime::{
        Controller,
        controller::{Action, Config, Error},
        reflector::{ObjectRef, Store},
        utils::Backoff,
        watcher,
    },
};
use serde::de::DeserializeOwned;

use crate::{
    controllers::{
        access, bucket, claim,
        context::{Context, is_deleting},
        failure::Failure,
        repair,
    },
    kube::{Bucket, BucketAccess, BucketAccessClass, BucketClaim, BucketClass, bucket_name},
};

type Outcome<K> = Result<(ObjectRef<K>, Action), Error<Failure, watcher::Error>>;

/// Everything, for as long as it is polled.
pub(crate) async fn standalone(ctx: Arc<Context>) {
    let claims = claims(&ctx).run(claim::reconcile, again, Arc::clone(&ctx));
    let buckets = buckets(&ctx).run(bucket::reconcile, again, Arc::clone(&ctx));
    let accesses = accesses(&ctx).run(access::reconcile, again, Arc::clone(&ctx));
    tokio::join!(
        claims.for_each(told),
        buckets.for_each(told),
        accesses.for_each(told)
    );
}

/// What upstream gets wrong, for as long as it is polled.
pub(crate) async fn repair(ctx: Arc<Context>) {
    let claims = claims(&ctx).run(repair::claim, again, Arc::clone(&ctx));
    let buckets = buckets(&ctx).run(repair::bucket, again, Arc::clone(&ctx));
    let accesses = accesses(&ctx).run(repair::access, again, Arc::clone(&ctx));
    tokio::join!(
        claims.for_each(told),
        buckets.for_each(told),
        accesses.for_each(told)
    );
}

#[expect(clippy::needless_pass_by_value, reason = "as kube calls it")]
fn again<K: Resource<DynamicType = ()>>(
    object: Arc<K>,
    why: &Failure,
    ctx: Arc<Context>,
) -> Action {
    ctx.retry(&*object, why)
}

/// Failures of single objects have been told; what is left is the API server's.
fn told<K: Resource>(outcome: Outcome<K>) -> impl Future<Output = ()> {
    if let Err(Error::QueueError(error)) = outcome {
        tracing::warn!(%error, "the API server can't be watched; are COSI's CRDs installed?");
    }
    std::future::ready(())
}

/// How soon a watch that ended in an error is begun anew: all watches of a controller wait together, so that a minute's pause would be one for everything.
#[derive(Default)]
struct Again {
    failures: u32,
}

impl Iterator for Again {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = Duration::from_millis(100).saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        Some(pause.min(Duration::from_secs(5)))
    }
}

impl Backoff for Again {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Controllers of a kind, watching nothing else yet.
fn of<K>(ctx: &Context) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    Controller::new(ctx.all(), all())
        .with_config(config(ctx))
        .trigger_backoff(Again::default())
}

fn config(ctx: &Context) -> Config {
    Config::default().concurrency(ctx.settings.concurrency)
}

fn all() -> watcher::Config {
    watcher::Config::default()
}

fn claims(ctx: &Context) -> Controller<BucketClaim> {
    let controller = of(ctx);
    let (classes, buckets, accesses) = (controller.store(), controller.store(), controller.store());
    controller
        .watches(ctx.all(), all(), move |class: BucketClass| {
            let name = class.name_any();
            matching(&classes, |claim: &BucketClaim| {
                claim.class() == Some(&name) && !claim.ready()
            })
        })
        .watches(ctx.all(), all(), move |bucket: Bucket| {
            claims_of(&buckets, &bucket)
        })
        .watches(ctx.all(), all(), move |access: BucketAccess| {
            let name = access.spec.bucket_claim_name.clone();
            let claim = beside(&access, &name);
            accesses
                .get(&claim)
                .is_some_and(|claim| is_deleting(&*claim))
                .then_some(claim)
        })
}

/// The claim that a bucket names, and those that name the bucket.
fn claims_of(store: &Store<BucketClaim>, bucket: &Bucket) -> Vec<ObjectRef<BucketClaim>> {
    let name = bucket.name_any();
    let mut claims = matching(store, |claim: &BucketClaim| {
        claim.existing() == Some(&name) || claim.bound() == Some(&name)
    });
    if let Some((namespace, name)) = bucket.claim() {
        let named = ObjectRef::new(name).within(namespace);
        if store.get(&named).is_some() && !claims.contains(&named) {
            claims.push(named);
        }
    }
    claims
}

fn buckets(ctx: &Context) -> Controller<Bucket> {
    let controller = of(ctx);
    let store = controller.store();
    controller.watches(ctx.all(), all(), move |claim: BucketClaim| {
        let own = bucket_name(&claim.uid().unwrap_or_default());
        let name = claim
            .bound()
            .or_else(|| claim.existing())
            .map_or(own, str::to_owned);
        let bucket = ObjectRef::new(&name);
        store
            .get(&bucket)
            .is_some_and(|bucket| is_deleting(&*bucket))
            .then_some(bucket)
    })
}

fn accesses(ctx: &Context) -> Controller<BucketAccess> {
    let controller = of(ctx);
    let (classes, claims) = (controller.store(), controller.store());
    controller
        .watches(ctx.all(), all(), move |class: BucketAccessClass| {
            let name = class.name_any();
            matching(&classes, |access: &BucketAccess| {
                access.spec.bucket_access_class_name == name
            })
        })
        .watches(ctx.all(), all(), move |claim: BucketClaim| {
            let (namespace, name) = (claim.namespace(), claim.name_any());
            matching(&claims, |access: &BucketAccess| {
                access.spec.bucket_claim_name == name
                    && access.namespace() == namespace
                    && (!access.granted() || is_deleting(access))
            })
        })
}

fn matching<K>(store: &Store<K>, wanted: impl Fn(&K) -> bool) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let all = store.state();
    let matching = all.iter().filter(|object| wanted(object));
    matching
        .map(|object| ObjectRef::from_obj(object.as_ref()))
        .collect()
}

fn beside<K: Resource<DynamicType = ()>>(object: &impl ResourceExt, name: &str) -> ObjectRef<K> {
    ObjectRef::new(name).within(&object.namespace().unwrap_or_default())
}
