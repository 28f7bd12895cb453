//! Buckets are made and deleted.

use futures_util::future::join_all;
use tonic::Code;

use super::{Checked, World};
use crate::sanity::{
    report::{failed, skipped},
    world::expect_code,
};

pub(super) async fn create_idempotent(world: &World) -> Checked {
    let name = world.bucket_name();
    let first = world.create(&name).await?;
    for _ in 0..3 {
        same(&first, &world.create(&name).await?)?;
    }
    Ok(())
}

pub(super) async fn create_concurrent(world: &World) -> Checked {
    let name = world.bucket_name();
    let all = (0..world.args.concurrency).map(|_| world.create(&name));
    let mut ids = join_all(all).await.into_iter();
    let Some(first) = ids.next().transpose()? else {
        return Err(skipped("--concurrency is 0"));
    };
    ids.try_for_each(|id| same(&first, &id?))
}

pub(super) async fn create_long_name(world: &World) -> Checked {
    let name = world.long_bucket_name();
    let first = world.create(&name).await?;
    same(&first, &world.create(&name).await?)
}

pub(super) async fn create_other_parameters(world: &World) -> Checked {
    let Some(other) = world.args.other_parameters() else {
        return Err(skipped("needs --other-parameters"));
    };
    let name = world.bucket_name();
    let first = world.create(&name).await?;
    let answer = world.settled(|| world.driver.create(&name, &other)).await;
    expect_code("with other parameters", answer, &[Code::AlreadyExists])?;
    same(&first, &world.create(&name).await?)
}

pub(super) async fn create_after_delete(world: &World) -> Checked {
    let name = world.bucket_name();
    let first = world.create(&name).await?;
    world.delete(&first).await?;
    world.create(&name).await.map(drop)
}

pub(super) async fn delete_idempotent(world: &World) -> Checked {
    let id = world.bucket().await?;
    for _ in 0..3 {
        world.delete(&id).await?;
    }
    Ok(())
}

pub(super) async fn delete_unknown(world: &World) -> Checked {
    world.delete(&world.bucket_name()).await?;
    // No bucket of S3 can be called that: another driver's identifier.
    world.delete("Not_A/Bucket Of Ours").await
}

pub(super) async fn delete_concurrent(world: &World) -> Checked {
    let id = world.bucket().await?;
    let all = (0..world.args.concurrency).map(|_| world.delete(&id));
    join_all(all).await.into_iter().collect()
}

fn same(first: &str, again: &str) -> Checked {
    if first == again {
        return Ok(());
    }
    Err(failed(format!("bucket_id {first}, then {again}")))
}
