//! What was granted is used.

use bytes::Bytes;
use http::{Method, StatusCode};
use tonic::Code;

use super::{Checked, World};
use crate::sanity::{args::NonEmpty, driver::Api, report::failed, s3::Client, world::expect_code};

const BODY: &[u8] = b"written by cosi-sanity";

pub(super) async fn usable(world: &World) -> Checked {
    let name = world.bucket_name();
    let bucket = world.create(&name).await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    let seen = match world.args.api {
        Api::V1alpha1 => &name,
        Api::V1alpha2 => &bucket,
    };
    works(&world.s3(&granted).await?, seen).await
}

pub(super) async fn revoked(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    let client = world.s3(&granted).await?;
    works(&client, &bucket).await?;
    world.revoke(&bucket, &granted.account).await?;
    is_refused(&client, &bucket, "after they were revoked").await
}

pub(super) async fn other_bucket(world: &World) -> Checked {
    let (bucket, other) = (world.bucket().await?, world.bucket().await?);
    let granted = world.grant(&bucket, &world.account_name()).await?;
    let client = world.s3(&granted).await?;
    is_refused(&client, &other, "for another bucket").await
}

pub(super) async fn one_revoked(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let first = world.grant(&bucket, &world.account_name()).await?;
    let second = world.grant(&bucket, &world.account_name()).await?;
    let client = world.s3(&second).await?;
    world.revoke(&bucket, &first.account).await?;
    works(&client, &bucket).await
}

pub(super) async fn delete_nonempty(world: &World) -> Checked {
    let bucket = world.bucket().await?;
    let granted = world.grant(&bucket, &world.account_name()).await?;
    let client = world.s3(&granted).await?;
    let object = format!("/{bucket}/kept");
    ask(&client, Method::PUT, &object, &[200]).await?;
    if world.args.delete_nonempty == NonEmpty::Refuse {
        let deleted = world.driver.delete(&bucket, &world.args.parameters()).await;
        expect_code(
            "a bucket that is not empty",
            deleted,
            &[Code::FailedPrecondition],
        )?;
        let body = ask(&client, Method::GET, &object, &[200]).await?;
        if body != BODY {
            return Err(failed("the object is another one after the refusal"));
        }
        ask(&client, Method::DELETE, &object, &[204, 200]).await?;
    }
    world.delete(&bucket).await?;
    // Keys may still count, but what they read is gone.
    ask(&client, Method::GET, &object, &[404, 403])
        .await
        .map(drop)
}

/// Objects are written, read, listed and deleted.
pub(super) async fn works(client: &Client, bucket: &str) -> Checked {
    let object = format!("/{bucket}/a/b");
    ask(client, Method::PUT, &object, &[200]).await?;
    let body = ask(client, Method::GET, &object, &[200]).await?;
    if body != BODY {
        return Err(failed(format!(
            "GET {object} gives something else than was written"
        )));
    }
    let list = format!("/{bucket}?list-type=2&prefix=a%2F");
    let listed = ask(client, Method::GET, &list, &[200]).await?;
    if !String::from_utf8_lossy(&listed).contains("<Key>a/b</Key>") {
        return Err(failed(format!("GET {list} does not list what was written")));
    }
    ask(client, Method::DELETE, &object, &[204, 200]).await?;
    ask(client, Method::GET, &object, &[404]).await.map(drop)
}

/// What was granted for reading reads, and doesn't write.
pub(super) async fn only_reads(writer: &Client, reader: &Client, bucket: &str) -> Checked {
    let object = format!("/{bucket}/read-only");
    ask(writer, Method::PUT, &object, &[200]).await?;
    ask(reader, Method::GET, &object, &[200]).await?;
    ask(reader, Method::PUT, &object, &[403]).await?;
    ask(reader, Method::DELETE, &object, &[403]).await?;
    ask(writer, Method::DELETE, &object, &[204, 200])
        .await
        .map(drop)
}

async fn is_refused(client: &Client, bucket: &str, when: &str) -> Checked {
    for (method, path) in [
        (Method::PUT, format!("/{bucket}/refused")),
        (Method::GET, format!("/{bucket}/refused")),
        (Method::GET, format!("/{bucket}?list-type=2")),
    ] {
        let answered = client.send(method.clone(), &path, Bytes::new()).await;
        let status = answered.map_err(failed)?.status;
        if status != StatusCode::FORBIDDEN {
            return Err(failed(format!(
                "{method} {path} {when}: {status}, expected 403"
            )));
        }
    }
    Ok(())
}

async fn ask(
    client: &Client,
    method: Method,
    path: &str,
    expected: &[u16],
) -> Result<Bytes, crate::sanity::report::NotOk> {
    let body = if method == Method::PUT { BODY } else { &[] };
    let answered = client
        .send(method.clone(), path, Bytes::from_static(body))
        .await;
    let answer = answered.map_err(failed)?;
    if expected.contains(&answer.status.as_u16()) {
        return Ok(answer.body);
    }
    let status = answer.status;
    Err(failed(format!(
        "{method} {path}: {status}, expected {expected:?}"
    )))
}
