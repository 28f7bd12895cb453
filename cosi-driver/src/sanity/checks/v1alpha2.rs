//! What v1alpha2 has and v1alpha1 has not: protocols, identifiers that are asked for first, modes, several buckets in one access.

use tonic::{Code, Status};

use super::{Checked, World, access::same, storage};
use crate::{
    grpc::pb::{
        r3::access_mode::Mode,
        v1alpha2::{ObjectProtocol, object_protocol::Type},
    },
    sanity::{
        driver::Access,
        info::place,
        report::{NotOk, failed, skipped},
        world::{as_secret, expect_code, refused},
    },
};

const REFUSED: [Code; 1] = [Code::InvalidArgument];

pub(super) async fn protocols(world: &World) -> Checked {
    let info = world.driver.identity().await;
    let mut seen = Vec::new();
    for protocol in info.map_err(refused("DriverGetInfo"))?.supported_protocols {
        match protocol.r#type() {
            Type::Unknown => return Err(failed("one of the protocols is UNKNOWN")),
            known if seen.contains(&known) => {
                return Err(failed(format!("{} is said twice", known.as_str_name())));
            }
            known => seen.push(known),
        }
    }
    if seen.is_empty() {
        return Err(failed("no protocol is supported"));
    }
    Ok(())
}

pub(super) async fn generate_bucket_id(world: &World) -> Checked {
    let (name, other) = (world.bucket_name(), world.bucket_name());
    let (driver, parameters) = (&world.driver, world.args.parameters());
    let ask = async |name: &str| {
        let asked = world.settled(|| driver.generate_bucket(name, &parameters));
        asked.await.map_err(refused("DriverGenerateBucketId"))
    };
    let first = ask(&name).await?;
    differ("bucket_id", &first, &ask(&name).await?, &ask(&other).await?)?;
    let found = world.settled(|| driver.get(&first, &parameters)).await;
    let what = "a bucket whose identifier alone was asked for";
    expect_code(what, found, &[Code::NotFound])
}

pub(super) async fn generate_access_id(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let ask = async |name: &str| {
        let access = world.access(&bucket, name);
        let asked = world
            .settled(|| world.driver.generate_account(&access))
            .await;
        asked.map_err(refused("DriverGenerateBucketAccessId"))
    };
    let (name, other) = (world.account_name(), world.account_name());
    let first = ask(&name).await?;
    differ(
        "account_id",
        &first,
        &ask(&name).await?,
        &ask(&other).await?,
    )
}

/// The identifier of one name twice, and that of another name.
fn differ(field: &str, first: &str, again: &str, other: &str) -> Checked {
    if first.is_empty() {
        return Err(failed(format!("{field} is empty")));
    }
    if first != again {
        return Err(failed(format!("{field} {first}, then {again}")));
    }
    if first == other {
        return Err(failed(format!("two names have {field} {first}")));
    }
    Ok(())
}

pub(super) async fn create_answer(world: &World) -> Checked {
    let (name, parameters) = (world.bucket_name(), world.args.parameters());
    let create = async || {
        let made = world.settled(|| world.driver.create(&name, &parameters));
        made.await.map_err(refused("DriverCreateBucket"))
    };
    let first = create().await?;
    place(first.info.as_ref())?;
    if create().await? != first {
        return Err(failed("the second answer is another one"));
    }
    Ok(())
}

pub(super) async fn get_bucket(world: &World) -> Checked {
    let (name, parameters) = (world.bucket_name(), world.args.parameters());
    let driver = &world.driver;
    let made = world.settled(|| driver.create(&name, &parameters)).await;
    let made = made.map_err(refused("DriverCreateBucket"))?;
    let found = world.settled(|| driver.get(&made.id, &parameters)).await;
    if found.map_err(refused("DriverGetBucket"))? != made.info {
        return Err(failed(
            "DriverGetBucket answers otherwise than DriverCreateBucket",
        ));
    }
    let absent = world.bucket_name();
    let found = world.settled(|| driver.get(&absent, &parameters)).await;
    expect_code("a bucket that is not there", found, &[Code::NotFound])
}

pub(super) async fn grant_several_buckets(world: &World) -> Checked {
    let (one, two) = (world.bucket().await?, world.bucket().await?);
    let mut access = world.access(&one, &world.account_name());
    access.buckets.push(two.clone());
    let granted = match world.settled(|| world.driver.grant(&access)).await {
        Err(status) if status.code() == Code::OutOfRange => {
            return Err(skipped("the driver has one bucket for each access"));
        }
        answer => answer.map_err(refused("DriverGrantBucketAccess"))?,
    };
    let granted = as_secret(&granted)?;
    let used = async {
        let client = world.s3(&granted).await?;
        storage::works(&client, &one).await?;
        storage::works(&client, &two).await
    };
    // That it is granted is something.
    match used.await {
        Ok(()) | Err(NotOk::Skipped(_)) => world.revoke(&one, &granted.account).await,
        Err(failed) => Err(failed),
    }
}

pub(super) async fn grant_other_access(world: &World) -> Checked {
    let (bucket, other) = (world.bucket().await?, world.bucket().await?);
    let name = world.account_name();
    let first = world.grant(&bucket, &name).await?;
    let access = || world.access(&bucket, &name);
    let mut conflicts = vec![
        ("for another bucket", world.access(&other, &name)),
        (
            "in another mode",
            Access {
                mode: Some(Mode::ReadOnly),
                ..access()
            },
        ),
    ];
    if let Some(parameters) = world.args.other_access_parameters() {
        let access = Access {
            parameters,
            ..access()
        };
        conflicts.push(("with other parameters", access));
    }
    for (what, access) in conflicts {
        let answer = world
            .settled(|| world.driver.grant_of(&first.account, &access))
            .await;
        expect_code(what, answer, &[Code::AlreadyExists])?;
    }
    same(&first, &world.grant(&bucket, &name).await?)
}

pub(super) async fn missing(world: &World) -> Checked {
    let (driver, parameters) = (&world.driver, world.args.parameters());
    let generated = driver.generate_bucket("", &parameters).await;
    expect_code("an empty name of a bucket", generated, &REFUSED)?;
    let created = driver.create_of("", &parameters).await;
    expect_code("an empty bucket_id to make", created, &REFUSED)?;
    let found = driver.get("", &parameters).await;
    expect_code("an empty bucket_id to look at", found, &REFUSED)?;
    let deleted = driver.delete("", &parameters).await;
    expect_code("an empty bucket_id to delete", deleted, &REFUSED)?;
    let bucket = world.bucket().await?;
    let name = world.account_name();
    expect_code(
        "an empty account_id",
        driver.revoke(&bucket, "").await,
        &REFUSED,
    )?;
    is_refused(
        world,
        "an empty name of an account",
        "",
        &world.access(&bucket, ""),
    )
    .await?;
    is_refused(
        world,
        "an empty bucket_id to grant access to",
        &name,
        &world.access("", &name),
    )
    .await?;
    let of = || world.access(&bucket, &name);
    let no_buckets = Access {
        buckets: Vec::new(),
        ..of()
    };
    is_refused(world, "access to no bucket", &name, &no_buckets).await?;
    for mode in [None, Some(Mode::Unknown)] {
        let what = format!("mode {mode:?}");
        is_refused(world, &what, &name, &Access { mode, ..of() }).await?;
    }
    Ok(())
}

/// By both calls for an access.
async fn is_refused(world: &World, what: &str, account: &str, access: &Access) -> Checked {
    let generated = world.driver.generate_account(access).await;
    expect_code(
        &format!("{what}, to ask for its identifier"),
        generated,
        &REFUSED,
    )?;
    let granted = world.driver.grant_of(account, access).await;
    expect_code(what, granted, &REFUSED)
}

pub(super) async fn wrong_protocol(world: &World) -> Checked {
    let (driver, parameters) = (&world.driver, world.args.parameters());
    let bucket = world.bucket().await?;
    let supported = driver.identity().await.map_err(refused("DriverGetInfo"))?;
    let supported = supported.supported_protocols;
    for wrong in [Type::Unknown, Type::Azure, Type::Gcs] {
        let protocol = ObjectProtocol {
            r#type: wrong.into(),
        };
        if supported.contains(&protocol) {
            continue;
        }
        let what = format!("protocol {}", wrong.as_str_name());
        let id = world.bucket_name();
        let made = driver.create_speaking(&id, vec![protocol], &parameters);
        expect_code(&format!("a bucket of {what}"), made.await, &REFUSED)?;
        let name = world.account_name();
        let mut access = world.access(&bucket, &name);
        access.protocol = wrong.into();
        is_refused(world, &format!("access by {what}"), &name, &access).await?;
    }
    Ok(())
}

pub(super) async fn read_only(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let writer = world.grant(&bucket, &world.account_name()).await?;
    let mut access = world.access(&bucket, &world.account_name());
    access.mode = Some(Mode::ReadOnly);
    let granted: Result<_, Status> = world.settled(|| world.driver.grant(&access)).await;
    let reader = as_secret(&granted.map_err(refused("DriverGrantBucketAccess"))?)?;
    let (writer, client) = (world.s3(&writer).await?, world.s3(&reader).await?);
    storage::only_reads(&writer, &client, &bucket).await?;
    world.revoke(&bucket, &reader.account).await
}
