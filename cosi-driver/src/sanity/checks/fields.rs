//! Fields that are empty, too long, or not known.

use tonic::Code;

use super::{Checked, World};
use crate::{
    grpc::pb::v1alpha1::AuthenticationType,
    provision::Parameters,
    sanity::world::{expect_code, too_many_parameters},
};

const REFUSED: [Code; 1] = [Code::InvalidArgument];

pub(super) async fn empty(world: &World) -> Checked {
    let (driver, none) = (&world.driver, Parameters::new());
    let created = driver.create("", &world.args.parameters()).await;
    expect_code("an empty name of a bucket", created, &REFUSED)?;
    let deleted = driver.delete("", &none).await;
    expect_code("an empty bucket_id to delete", deleted, &REFUSED)?;
    let granted = driver.grant(&world.access("", &world.account_name())).await;
    expect_code("an empty bucket_id to grant access to", granted, &REFUSED)?;
    let bucket = world.bucket().await?;
    let granted = driver.grant(&world.access(&bucket, "")).await;
    expect_code("an empty name of an account", granted, &REFUSED)
}

pub(super) async fn oversized(world: &World) -> Checked {
    let driver = &world.driver;
    let long = "a".repeat(129);
    let created = driver.create(&long, &world.args.parameters()).await;
    expect_code("a name of 129 bytes", created, &REFUSED)?;
    let created = driver
        .create(&world.bucket_name(), &too_many_parameters())
        .await;
    expect_code("parameters of 5 KiB", created, &REFUSED)?;
    let bucket = world.bucket().await?;
    let granted = driver.grant(&world.access(&bucket, &long)).await;
    expect_code("an account's name of 129 bytes", granted, &REFUSED)?;
    let mut access = world.access(&bucket, &world.account_name());
    access.parameters = too_many_parameters();
    let granted = driver.grant(&access).await;
    expect_code("parameters of access of 5 KiB", granted, &REFUSED)
}

pub(super) async fn unknown_authentication(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    for authentication in [AuthenticationType::UnknownAuthenticationType.into(), 99] {
        let mut access = world.access(&bucket, &world.account_name());
        access.authentication = authentication;
        let what = format!("authentication type {authentication}");
        expect_code(&what, world.driver.grant(&access).await, &REFUSED)?;
    }
    Ok(())
}
