//! What every controller has at hand.

use std::{collections::BTreeMap, fmt::Debug, future::Future, sync::Arc, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::ObjectReference};
use kube::{Api, Client, Resource, ResourceExt, runtime::controller::Action};
use serde::de::DeserializeOwned;

use crate::{
    controllers::{
        backoff::Backoff, events::Events, failure::Failure, lately::Lately, metrics::Metrics,
        settings::Settings,
    },
    kube::{Bucket, BucketAccessClass, BucketClass, DRIVER_ANNOTATION, same_driver},
    provision::Provisioner,
    repeats::Repeats,
};

/// No watch is behind for longer.
const COUNTED: Duration = Duration::from_mins(10);

/// What every controller has at hand.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) provisioner: Arc<Provisioner>,
    pub(crate) settings: Settings,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) backoff: Backoff,
    /// Compared with the store not long ago.
    pub(crate) lately: Lately,
    /// How long it took is counted already.
    counted: Lately,
    /// What the log has of objects that are not done yet.
    repeats: Repeats,
}

impl Context {
    pub(crate) fn new(
        client: Client,
        provisioner: Arc<Provisioner>,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            events: Events::new(client.clone(), settings.identity.clone()),
            client,
            provisioner,
            settings,
            metrics,
            backoff: Backoff::default(),
            lately: Lately::default(),
            counted: Lately::default(),
            repeats: Repeats::default(),
        }
    }

    pub(crate) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// The objects in the namespace of this one.
    pub(crate) fn beside<K>(&self, object: &impl ResourceExt) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }

    /// An object of the cluster; `None` where the name says nothing.
    pub(crate) async fn named<K>(&self, name: Option<&str>) -> Result<Option<K>, Failure>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        match name.filter(|name| !name.is_empty()) {
            Some(name) => Ok(self.all().get_opt(name).await?),
            None => Ok(None),
        }
    }

    /// Whether this driver is meant.
    pub(crate) fn is_us(&self, driver: &str) -> bool {
        same_driver(driver, &self.settings.driver)
    }

    /// Whether an object says that it is this driver's.
    pub(crate) fn marked(&self, object: &impl ResourceExt) -> bool {
        object
            .annotations()
            .get(DRIVER_ANNOTATION)
            .is_some_and(|driver| self.is_us(driver))
    }

    /// What marks an object as this driver's.
    pub(crate) fn mark(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(DRIVER_ANNOTATION.to_owned(), self.settings.driver.clone())])
    }

    /// When an object is looked at again without anything having happened.
    pub(crate) fn resync(&self) -> Action {
        Action::requeue(self.settings.resync)
    }

    /// Counts how long an object took, once: as long as a watch is behind, the object looks as if it were not done yet, and is done again.
    pub(crate) fn took(&self, what: &'static str, object: &impl ResourceExt) {
        let uid = object.uid().unwrap_or_default();
        if self.counted.seen(&uid, what, COUNTED) {
            return;
        }
        self.counted.note(&uid, what.to_owned(), COUNTED);
        if let Some(age) = age(object) {
            self.metrics.took(what, age);
        }
    }

    /// Takes down how it went, and tells the owner what is wrong.
    pub(crate) async fn reported(
        &self,
        kind: &'static str,
        uid: &str,
        about: impl Future<Output = Option<ObjectReference>>,
        work: impl Future<Output = Result<Action, Failure>>,
    ) -> Result<Action, Failure> {
        let answer = work.await;
        match &answer {
            Ok(_) => {
                self.backoff.done(uid);
                self.repeats.forget(uid);
                self.metrics.reconciled(kind, "done");
            }
            Err(failure) => {
                self.metrics.reconciled(kind, failure.kind());
                if let Some(complaint) = failure.complaint()
                    && let Some(about) = about.await
                {
                    self.events.tell(&about, &complaint).await;
                }
            }
        }
        answer
    }

    /// When to try again.
    pub(crate) fn retry<K: Resource<DynamicType = ()>>(&self, object: &K, why: &Failure) -> Action {
        let pause = self.backoff.failed(&object.uid().unwrap_or_default());
        if why.is_conflict() {
            tracing::debug!(kind = %K::kind(&()), name = object.name_any(), "changed meanwhile");
            return Action::requeue(pause.min(Duration::from_secs(1)));
        }
        self.log(object, why);
        Action::requeue(pause)
    }

    fn log<K: Resource<DynamicType = ()>>(&self, object: &K, why: &Failure) {
        let kind = K::kind(&());
        let name = object.name_any();
        let namespace = object.namespace().unwrap_or_default();
        let uid = object.uid().unwrap_or_default();
        match (self.repeats.heard(&uid, &why.to_string()), why) {
            (None, _) => tracing::debug!(%kind, namespace, name, "still: {why}"),
            (Some(repeated), Failure::Told(_)) => {
                tracing::info!(%kind, namespace, name, repeated, "not yet: {why}");
            }
            (Some(repeated), _) => {
                tracing::warn!(%kind, namespace, name, repeated, "failed, tried again: {why}");
            }
        }
    }

    /// The class of a bucket.
    pub(crate) async fn class(&self, name: Option<&str>) -> Result<Option<BucketClass>, Failure> {
        self.named(name).await
    }

    /// The class of an access.
    pub(crate) async fn access_class(
        &self,
        name: &str,
    ) -> Result<Option<BucketAccessClass>, Failure> {
        self.named(Some(name)).await
    }

    /// A bucket object.
    pub(crate) async fn bucket(&self, name: Option<&str>) -> Result<Option<Bucket>, Failure> {
        self.named(name).await
    }
}

/// Whether an object is on its way out.
pub(crate) fn is_deleting(object: &impl ResourceExt) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Whether an object has a finalizer.
pub(crate) fn is_held(object: &impl ResourceExt, finalizer: &str) -> bool {
    object.finalizers().iter().any(|name| name == finalizer)
}

/// How long an object has been there.
fn age(object: &impl ResourceExt) -> Option<Duration> {
    let made = object.creation_timestamp()?;
    Some(crate::controllers::clock::until(
        crate::controllers::clock::now(),
        made.0,
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use kube::client::Body;

    use super::*;
    use crate::{
        controllers::{ControllerFlags, metrics::CLAIM_READY},
        kube::BucketClaim,
        provision::testing::memory,
    };

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        flags: ControllerFlags,
    }

    /// One that asks nobody.
    fn context() -> Context {
        let nobody = tower::service_fn(|_: http::Request<Body>| async {
            Err::<http::Response<Body>, _>(std::io::Error::other("nobody is asked"))
        });
        Context::new(
            Client::new(nobody, "default"),
            Arc::new(memory().1),
            Only::parse_from(["it"]).flags.settings("cosi.larder.dev"),
            Arc::default(),
        )
    }

    #[tokio::test]
    async fn how_long_an_object_took_is_counted_once() {
        let ctx = context();
        for uid in ["one", "one", "two"] {
            let mut claim = BucketClaim::named("photos");
            claim.metadata.uid = Some(uid.to_owned());
            claim.metadata.creation_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                    crate::controllers::clock::now(),
                ));
            ctx.took(CLAIM_READY, &claim);
        }
        let text = ctx.metrics.exposition();
        assert!(
            text.contains("larder_cosi_claim_ready_seconds_count 2\n"),
            "{text}"
        );
    }
}
