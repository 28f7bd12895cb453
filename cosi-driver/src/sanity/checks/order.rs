//! Calls in an order that nobody would choose.

use super::{Checked, World};
use crate::sanity::report::NotOk;

pub(super) async fn delete_before_revoke(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let first = world.grant(&bucket, &world.account_name()).await?;
    let second = world.grant(&bucket, &world.account_name()).await?;
    world.delete(&bucket).await?;
    world.revoke(&bucket, &first.account).await?;
    world.revoke(&bucket, &second.account).await
}

pub(super) async fn grant_after_revoke(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let name = world.account_name();
    let first = world.grant(&bucket, &name).await?;
    world.revoke(&bucket, &first.account).await?;
    let again = world.grant(&bucket, &name).await?;
    match world.s3(&again).await {
        Ok(client) => super::storage::works(&client, &bucket).await,
        // That it is granted is something.
        Err(NotOk::Skipped(_)) => Ok(()),
        Err(failed) => Err(failed),
    }
}
