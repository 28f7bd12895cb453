//! How long it takes. Run by hand, on a quiet machine: `cargo nextest run -p larder-cosi --run-ignored only --no-capture figures`.

use std::{collections::HashSet, future::Future, time::Duration};

use kube::{Api, ResourceExt, api::ListParams};
use larder_cosi::{
    controllers::Mode,
    kube::{BucketAccess, BucketClaim},
};
use tokio::time::{Instant, interval};

use crate::world::World;

/// The `percent`th percentile.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    let last = times.len() - 1;
    times[(times.len() * percent / 100).min(last)]
}

fn say(what: &str, count: usize, mut times: Vec<Duration>) {
    let half = percentile(&mut times, 50).as_millis();
    let most = percentile(&mut times, 99).as_millis();
    println!("| {what} | {count} | {half} ms | {most} ms |");
}

/// So many claims, each with its access, all at once.
async fn burst(count: usize) -> Duration {
    let mut world = World::new(Mode::Standalone).await;
    // As the command line has them: other tests look at everything all the time.
    world.settings.resync = Duration::from_mins(10);
    world.settings.orphans.every = Duration::from_mins(5);
    let running = world.start();
    world.claim("first", "fast").await;
    world.ready("first").await;
    let begun = Instant::now();
    let made = (0..count).map(|number| {
        let world = &world;
        async move {
            let (claim, access) = (format!("c{number}"), format!("a{number}"));
            world.claim(&claim, "fast").await;
            world.access(&access, &claim, "key").await;
        }
    });
    let claims: Api<BucketClaim> = world.here();
    let accesses: Api<BucketAccess> = world.here();
    let claims = watch(count, || async {
        let all = claims.list(&ListParams::default()).await.unwrap().items;
        let ready = all.into_iter().filter(BucketClaim::ready);
        ready
            .map(|claim| claim.name_any())
            .filter(|name| name != "first")
            .collect()
    });
    let accesses = watch(count, || async {
        let all = accesses.list(&ListParams::default()).await.unwrap().items;
        let granted = all.into_iter().filter(BucketAccess::granted);
        granted.map(|access| access.name_any()).collect()
    });
    let made = futures_util::future::join_all(made);
    let (_, claims, accesses) = tokio::join!(made, claims, accesses);
    let worst = begun.elapsed();
    say("claim to ready", count, claims);
    say("access to Secret", count, accesses);
    running.stop().await;
    worst
}

/// When each of so many was done, counted from now: the making of the objects is part of it.
async fn watch<F: Future<Output = HashSet<String>>>(
    count: usize,
    done: impl Fn() -> F,
) -> Vec<Duration> {
    let begun = Instant::now();
    let mut seen = HashSet::new();
    let mut times = Vec::new();
    let mut looks = interval(Duration::from_millis(5));
    while times.len() < count {
        looks.tick().await;
        for name in done().await {
            if seen.insert(name) {
                times.push(begun.elapsed());
            }
        }
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, for a quiet machine"]
async fn figures_of_bursts() {
    println!("| what | at once | p50 | p99 |\n|---|---|---|---|");
    for count in [1, 50, 500] {
        burst(count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_at_once_take_less_than_the_bound_by_far() {
    // The target is 2 s for the slowest of fifty on a machine of its own; tests share theirs.
    assert!(burst(50).await < Duration::from_secs(20));
}
