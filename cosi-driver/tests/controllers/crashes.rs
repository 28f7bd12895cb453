//! Controllers that die at every point: after each request to the API server or the store, whether its answer came or not, and are started anew.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use kube::{
    Client, ResourceExt,
    client::{Body, ClientBuilder},
};
use larder_cosi::{
    controllers::Mode,
    kube::{Bucket, BucketAccess, BucketClaim},
};
use tower::{Layer, Service};

use crate::world::{World, delete};

/// Lets so many writes through; the next one is done, and its answer never comes. No request is answered from then on.
#[derive(Clone)]
struct Deaf {
    writes: Arc<AtomicU64>,
    limit: u64,
    /// Whether the last write reaches the server.
    is_done: bool,
}

struct DeafService<S> {
    inner: S,
    deaf: Deaf,
}

impl<S> Layer<S> for Deaf {
    type Service = DeafService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeafService {
            inner,
            deaf: self.clone(),
        }
    }
}

impl Deaf {
    fn reached(&self) -> bool {
        self.writes.load(Ordering::SeqCst) > self.limit
    }

    fn client(&self, world: &World) -> Client {
        let builder = ClientBuilder::try_from(world.kube.config()).unwrap();
        builder.with_layer(self).build()
    }
}

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<S, B> Service<Request<Body>> for DeafService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<B, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        // Leases and events are not what is at stake here.
        let counts = request.method() != Method::GET
            && !path.contains("/leases")
            && !path.contains("/events");
        let deaf = self.deaf.clone();
        let before = if counts {
            deaf.writes.fetch_add(1, Ordering::SeqCst)
        } else {
            deaf.writes.load(Ordering::SeqCst)
        };
        let is_answered = before < deaf.limit || (!counts && before == deaf.limit);
        let is_last = counts && before == deaf.limit;
        let is_sent = is_answered || (is_last && deaf.is_done);
        let call = is_sent.then(|| self.inner.call(request));
        Box::pin(async move {
            match call {
                Some(call) if is_answered => call.await,
                Some(call) => {
                    drop(call.await);
                    std::future::pending().await
                }
                None => std::future::pending().await,
            }
        })
    }
}

/// Runs a story with controllers that die at the `limit`-th write, then with ones that don't; whether the first ones died.
async fn dies_at(limit: u64, is_done: bool) -> bool {
    let world = World::new(Mode::Standalone).await;
    let deaf = Deaf {
        writes: Arc::default(),
        limit,
        is_done,
    };
    let first = world.start_with(
        deaf.client(&world),
        Arc::clone(&world.provisioner),
        world.settings.clone(),
    );
    let claim = world.claim("photos", "fast").await;
    let access = world.access("app", "photos", "key").await;
    let mut died = granted_or(&world, &deaf).await;
    if !died {
        delete_both(&world).await;
        died = gone_or(&world, &deaf).await;
    }
    drop(first);
    let _second = world.start();
    converges(&world, &claim, &access).await;
    died
}

async fn granted_or(world: &World, deaf: &Deaf) -> bool {
    crate::world::until("it is granted, or the controllers died", || async {
        let access = world.here::<BucketAccess>().get("app").await.unwrap();
        let done = access.granted().then_some(false);
        if deaf.reached() { Some(true) } else { done }
    })
    .await
}

async fn gone_or(world: &World, deaf: &Deaf) -> bool {
    crate::world::until("it is gone, or the controllers died", || async {
        let claim = world.here::<BucketClaim>().get_opt("photos").await.unwrap();
        let done = claim.is_none().then_some(false);
        if deaf.reached() { Some(true) } else { done }
    })
    .await
}

async fn delete_both(world: &World) {
    delete(&world.here::<BucketClaim>(), "photos").await;
    delete(&world.here::<BucketAccess>(), "app").await;
}

/// Whatever happened before: there is one account with one key and one bucket, or nothing at all.
async fn converges(world: &World, claim: &BucketClaim, access: &BucketAccess) {
    let claims = world.here::<BucketClaim>();
    let there = claims.get_opt("photos").await.unwrap();
    if there.is_some_and(|claim| claim.metadata.deletion_timestamp.is_none()) {
        world.granted("app").await;
        let account = format!("ba-{}", access.uid().unwrap());
        assert_eq!(world.accounts().await, std::slice::from_ref(&account));
        let key = world.key("app").await;
        assert_eq!(world.backend.user_of_key(&key), Some(account));
        assert!(world.has(&format!("bucket-{}", claim.uid().unwrap())).await);
        delete_both(world).await;
    }
    world.gone(&claims, "photos").await;
    world.gone(&world.here::<BucketAccess>(), "app").await;
    assert!(world.accounts().await.is_empty());
    assert!(!world.has(&format!("bucket-{}", claim.uid().unwrap())).await);
    let buckets = world.all::<Bucket>();
    let left = buckets
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    assert!(left.items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_that_die_at_any_write_are_followed_by_ones_that_finish() {
    for is_done in [false, true] {
        let mut limit = 0;
        while dies_at(limit, is_done).await {
            limit += 1;
        }
        assert!(limit > 8, "only {limit} writes: is anything counted?");
    }
}
