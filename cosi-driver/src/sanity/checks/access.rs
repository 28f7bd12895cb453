//! Access is granted and revoked.

use futures_util::future::join_all;
use tonic::Code;

use super::{Checked, World};
use crate::{
    grpc::pb::v1alpha1::AuthenticationType,
    sanity::{
        report::{failed, skipped},
        s3::Client,
        world::{Granted, brief, expect_code},
    },
};

pub(super) async fn grant_idempotent(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let name = world.account_name();
    let first = world.grant(&bucket, &name).await?;
    for _ in 0..5 {
        same(&first, &world.grant(&bucket, &name).await?)?;
    }
    Ok(())
}

pub(super) async fn grant_concurrent(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let name = world.account_name();
    let all = (0..world.args.concurrency).map(|_| world.grant(&bucket, &name));
    let mut granted = join_all(all).await.into_iter();
    let Some(first) = granted.next().transpose()? else {
        return Err(skipped("--concurrency is 0"));
    };
    granted.try_for_each(|it| same(&first, &it?))
}

pub(super) async fn grant_credentials(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    Client::new(granted.keys, None).map(drop).map_err(failed)
}

pub(super) async fn grant_several_accounts(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let first = world.grant(&bucket, &world.account_name()).await?;
    let second = world.grant(&bucket, &world.account_name()).await?;
    if first.account == second.account {
        return Err(failed(format!("both are {}", first.account)));
    }
    if first.keys.access_key == second.keys.access_key {
        return Err(failed(format!("both have {}", first.keys.access_key)));
    }
    Ok(())
}

pub(super) async fn grant_never_already_exists(world: &World) -> Checked {
    let (bucket, other_bucket) = (world.bucket().await?, world.bucket().await?);
    let name = world.account_name();
    let first = world.grant(&bucket, &name).await?;
    let mut conflicts = vec![world.access(&other_bucket, &name)];
    if let Some(parameters) = world.args.other_access_parameters() {
        let mut access = world.access(&bucket, &name);
        access.parameters = parameters;
        conflicts.push(access);
    }
    for access in conflicts {
        match world.settled(|| world.driver.grant(&access)).await {
            Err(status) if status.code() == Code::AlreadyExists => {
                return Err(failed(brief(&status)));
            }
            _ => {}
        }
    }
    same(&first, &world.grant(&bucket, &name).await?)
}

pub(super) async fn grant_absent_bucket(world: &World) -> Checked {
    let access = world.access(&world.bucket_name(), &world.account_name());
    let answer = world.settled(|| world.driver.grant(&access)).await;
    expect_code("for a bucket that is not there", answer, &[Code::NotFound])
}

pub(super) async fn grant_iam(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let mut access = world.access(&bucket, &world.account_name());
    access.authentication = AuthenticationType::Iam.into();
    match world.settled(|| world.driver.grant(&access)).await {
        Ok(granted) => world.revoke(&bucket, granted.account()).await,
        Err(status) => expect_code::<()>("IAM", Err(status), &[Code::InvalidArgument]),
    }
}

pub(super) async fn revoke_idempotent(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    for _ in 0..3 {
        world.revoke(&bucket, &granted.account).await?;
    }
    Ok(())
}

pub(super) async fn revoke_unknown(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    world.revoke(&bucket, &world.account_name()).await?;
    world
        .revoke("another-drivers-bucket", &world.account_name())
        .await?;
    world
        .revoke("another-drivers-bucket", "Another/Driver's Account")
        .await?;
    let Ok(client) = world.s3(&granted).await else {
        return Ok(());
    };
    super::storage::works(&client, &bucket).await
}

pub(super) async fn revoke_empty_account(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    world.revoke(&bucket, "").await
}

pub(super) async fn revoke_concurrent(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    let all = (0..world.args.concurrency).map(|_| world.revoke(&bucket, &granted.account));
    join_all(all).await.into_iter().collect()
}

/// Says which keys, never which secrets.
pub(super) fn same(first: &Granted, again: &Granted) -> Checked {
    if first.account != again.account {
        let (first, again) = (&first.account, &again.account);
        return Err(failed(format!("account_id {first}, then {again}")));
    }
    if first.keys.access_key != again.keys.access_key {
        let (first, again) = (&first.keys.access_key, &again.keys.access_key);
        return Err(failed(format!("access key {first}, then {again}")));
    }
    if first != again {
        let key = &first.keys.access_key;
        return Err(failed(format!(
            "{key} has another secret or endpoint than before"
        )));
    }
    Ok(())
}
