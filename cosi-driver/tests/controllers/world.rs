//! An API server, a store, and controllers that can be started and stopped.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Namespace, Secret},
        events::v1::Event,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use larder_cosi::{
    backend::{Backend, MemoryBackend},
    controllers::{Metrics, Mode, OrphanSettings, Settings, run},
    kube::{Bucket, BucketAccess, BucketAccessClass, BucketClaim, BucketClass},
    provision::{OidcProvider, Parameters, ProvisionSettings, Provisioner},
};
use larder_fake_kube::ApiServer;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time::interval};

pub(crate) const DRIVER: &str = "cosi.larder.dev";
pub(crate) const NAMESPACE: &str = "shop";

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) kube: ApiServer,
    pub(crate) client: Client,
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) provisioner: Arc<Provisioner>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
}

/// Controllers that run; they are dropped where they stand when this is dropped.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    /// Has them stop as a process does that is asked to.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn provisioner(backend: Arc<dyn Backend>) -> Arc<Provisioner> {
    let settings = ProvisionSettings {
        oidc: Some(OidcProvider {
            url: "https://oidc.example/cluster".to_owned(),
            audience: "larder".to_owned(),
        }),
        ..ProvisionSettings::default()
    };
    Arc::new(Provisioner::new(backend, settings))
}

fn settings(mode: Mode) -> Settings {
    Settings {
        mode,
        driver: DRIVER.to_owned(),
        namespace: "larder".to_owned(),
        upstream_namespace: "upstream".to_owned(),
        identity: "larder-cosi_test_1".to_owned(),
        concurrency: 32,
        resync: Duration::from_millis(400),
        lease_duration: Duration::from_secs(1),
        detect_every: Duration::from_millis(50),
        stuck_after: Duration::from_millis(300),
        orphans: OrphanSettings {
            every: Duration::from_millis(50),
            grace: Duration::from_hours(1),
            delete_after: Duration::from_hours(1),
            limit_percent: 20,
        },
    }
}

impl World {
    /// Nothing runs yet, and classes `fast`, `kept` (Retain) and `key` are there.
    pub(crate) async fn new(mode: Mode) -> Self {
        let kube = ApiServer::start().await.unwrap();
        let client = kube.client().unwrap();
        let backend = Arc::new(MemoryBackend::new());
        let shared: Arc<dyn Backend> = Arc::<MemoryBackend>::clone(&backend);
        let world = Self {
            kube,
            client,
            provisioner: provisioner(shared),
            backend,
            metrics: Arc::default(),
            settings: settings(mode),
        };
        for name in [NAMESPACE, "thief", "larder", "upstream"] {
            world.namespace(name).await;
        }
        world.class("fast", DRIVER, "Delete", &[]).await;
        world.class("kept", DRIVER, "Retain", &[]).await;
        world.access_class("key", DRIVER, "Key", &[]).await;
        world
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(
            self.client.clone(),
            Arc::clone(&self.provisioner),
            self.settings.clone(),
        )
    }

    pub(crate) fn start_with(
        &self,
        client: Client,
        provisioner: Arc<Provisioner>,
        settings: Settings,
    ) -> Running {
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let metrics = Arc::clone(&self.metrics);
        let work = run(client, provisioner, settings, metrics, stopped);
        Running {
            stop: Some(stop),
            task: tokio::spawn(work),
        }
    }

    pub(crate) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    pub(crate) fn here<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(crate) async fn namespace(&self, name: &str) {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        create(&self.all(), &namespace).await;
    }

    pub(crate) async fn class(
        &self,
        name: &str,
        driver: &str,
        policy: &str,
        parameters: &[(&str, &str)],
    ) {
        let mut class = BucketClass::named(name);
        driver.clone_into(&mut class.driver_name);
        class.deletion_policy = Some(policy.to_owned());
        class.parameters = Some(of(parameters));
        create(&self.all(), &class).await;
    }

    pub(crate) async fn access_class(
        &self,
        name: &str,
        driver: &str,
        kind: &str,
        parameters: &[(&str, &str)],
    ) {
        let mut class = BucketAccessClass::named(name);
        driver.clone_into(&mut class.driver_name);
        kind.clone_into(&mut class.authentication_type);
        class.parameters = Some(of(parameters));
        create(&self.all(), &class).await;
    }

    pub(crate) async fn claim(&self, name: &str, class: &str) -> BucketClaim {
        create(&self.here(), &claim(name, class)).await
    }

    pub(crate) async fn claim_existing(&self, name: &str, bucket: &str) -> BucketClaim {
        let mut claim = claim(name, "");
        claim.spec.bucket_class_name = None;
        claim.spec.existing_bucket_name = Some(bucket.to_owned());
        create(&self.here(), &claim).await
    }

    /// An access `name` to the claim, with a Secret of the same name.
    pub(crate) async fn access(&self, name: &str, claim: &str, class: &str) -> BucketAccess {
        create(&self.here(), &access(name, claim, class)).await
    }

    pub(crate) async fn static_bucket(&self, name: &str, id: &str, driver: &str) -> Bucket {
        let mut bucket = Bucket::named(name);
        driver.clone_into(&mut bucket.spec.driver_name);
        "none".clone_into(&mut bucket.spec.bucket_class_name);
        bucket.spec.existing_bucket_id = Some(id.to_owned());
        bucket.spec.protocols = vec!["S3".to_owned()];
        bucket.spec.deletion_policy = Some("Retain".to_owned());
        create(&self.all(), &bucket).await
    }

    /// The claim, once it is ready.
    pub(crate) async fn ready(&self, name: &str) -> BucketClaim {
        let claims: Api<BucketClaim> = self.here();
        until(&format!("claim {name} is ready"), || async {
            claims.get(name).await.ok().filter(BucketClaim::ready)
        })
        .await
    }

    /// The access, once it is granted.
    pub(crate) async fn granted(&self, name: &str) -> BucketAccess {
        let accesses: Api<BucketAccess> = self.here();
        until(&format!("access {name} is granted"), || async {
            accesses.get(name).await.ok().filter(BucketAccess::granted)
        })
        .await
    }

    /// Waits until an object is gone.
    pub(crate) async fn gone<K>(&self, api: &Api<K>, name: &str)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        until(&format!("{} {name} is gone", K::kind(&())), || async {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// `BucketInfo` of a Secret.
    pub(crate) async fn info(&self, secret: &str) -> Value {
        let secret = self.here::<Secret>().get(secret).await.unwrap();
        let info = secret.data.unwrap().remove("BucketInfo").unwrap();
        serde_json::from_slice(&info.0).unwrap()
    }

    /// The access key of a Secret.
    pub(crate) async fn key(&self, secret: &str) -> String {
        let info = self.info(secret).await;
        let key = info["spec"]["secretS3"]["accessKeyID"].as_str().unwrap();
        key.to_owned()
    }

    /// The text of an event of this reason about an object of this name, once there is one.
    pub(crate) async fn told(&self, name: &str, reason: &str) -> String {
        let events: Api<Event> = self.all();
        until(&format!("an event {reason} about {name}"), || async {
            let all = events.list(&ListParams::default()).await.unwrap();
            let found = all.items.into_iter().find(|event| {
                let regarding = event.regarding.as_ref();
                regarding.and_then(|about| about.name.as_deref()) == Some(name)
                    && event.reason.as_deref() == Some(reason)
            });
            found.and_then(|event| event.note)
        })
        .await
    }

    /// Whether there is a bucket in the store.
    pub(crate) async fn has(&self, bucket: &str) -> bool {
        let all = self.backend.list_buckets("").await.unwrap();
        all.iter().any(|there| there.name == bucket)
    }

    pub(crate) async fn accounts(&self) -> Vec<String> {
        let all = self.provisioner.accounts().await.unwrap();
        all.into_iter().map(|account| account.account).collect()
    }
}

pub(crate) fn of(parameters: &[(&str, &str)]) -> Parameters {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    parameters.iter().map(pair).collect()
}

pub(crate) fn claim(name: &str, class: &str) -> BucketClaim {
    let mut claim = BucketClaim::named(name);
    claim.spec.bucket_class_name = Some(class.to_owned());
    claim.spec.protocols = vec!["S3".to_owned()];
    claim
}

pub(crate) fn access(name: &str, claim: &str, class: &str) -> BucketAccess {
    let mut access = BucketAccess::named(name);
    claim.clone_into(&mut access.spec.bucket_claim_name);
    class.clone_into(&mut access.spec.bucket_access_class_name);
    name.clone_into(&mut access.spec.credentials_secret_name);
    access.spec.protocol = Some("S3".to_owned());
    access
}

pub(crate) async fn create<K>(api: &Api<K>, object: &K) -> K
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    api.create(&PostParams::default(), object).await.unwrap()
}

pub(crate) async fn delete<K>(api: &Api<K>, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

pub(crate) async fn merge<K>(api: &Api<K>, name: &str, body: Value) -> K
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let how = PatchParams::default();
    api.patch(name, &how, &Patch::Merge(body)).await.unwrap()
}

/// Writes a status as upstream's halves do.
pub(crate) async fn set_status<K>(api: &Api<K>, name: &str, status: Value)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let body = json!({ "status": status });
    let how = PatchParams::default();
    api.patch_status(name, &how, &Patch::Merge(body))
        .await
        .unwrap();
}

/// Sets finalizers as upstream's halves do.
pub(crate) async fn set_finalizers<K>(api: &Api<K>, name: &str, finalizers: &[&str])
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    merge(
        api,
        name,
        json!({ "metadata": { "finalizers": finalizers } }),
    )
    .await;
}

/// What `found` finds, once it does.
pub(crate) async fn until<T, F>(what: &str, mut found: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let mut looks = interval(Duration::from_millis(10));
    let wait = async {
        loop {
            looks.tick().await;
            if let Some(found) = found().await {
                return found;
            }
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

pub(crate) fn finalizers(object: &impl ResourceExt) -> Vec<&str> {
    object.finalizers().iter().map(String::as_str).collect()
}
