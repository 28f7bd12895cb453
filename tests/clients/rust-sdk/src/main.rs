//! The AWS SDK for Rust with its default settings against a server named by the environment: upload, list, read back, multipart
//! with unequal parts, presigned URLs, odd keys, a wrong secret. Prints a line per step; the first thing that is not as it must
//! be ends it with a message and status 1.

use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use aws_sdk_s3::{Client, Config};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const MIB: usize = 1 << 20;
const ODD_KEYS: [&str; 10] = [
    "a",
    "a/",
    "a//b",
    "a/b",
    "plus+plus",
    "two  spaces",
    "100%25",
    "Grüße/日本語",
    "semi;colon&and=equals?",
    "star*'()!",
];

fn main() -> Outcome {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Outcome {
    let bucket = variable("BUCKET")?;
    let client = client(&variable("AWS_SECRET_ACCESS_KEY")?)?;
    client.create_bucket().bucket(&bucket).send().await?;
    step("put, get, compare", put_and_get(&client, &bucket).await)?;
    step("odd keys and listing", odd_keys(&client, &bucket).await)?;
    step(
        "multipart with unequal parts",
        multipart(&client, &bucket).await,
    )?;
    step("presigned", presigned(&client, &bucket).await)?;
    step("wrong secret is refused", wrong_secret(&bucket).await)?;
    step("delete objects", delete_all(&client, &bucket).await)?;
    client.delete_bucket().bucket(&bucket).send().await?;
    Ok(())
}

fn variable(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

fn step(name: &str, outcome: Outcome) -> Outcome {
    outcome.map_err(|error| format!("{name}: {error} ({error:?})"))?;
    println!("ok: {name}");
    Ok(())
}

fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// A client as the SDK makes it: only endpoint, region and credentials are given, and plain HTTP instead of TLS.
fn client(secret: &str) -> Outcome<Client> {
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID")?,
        secret,
        None,
        None,
        "environment",
    );
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(variable("ENDPOINT")?)
        .region(Region::new(variable("AWS_REGION")?))
        .credentials_provider(credentials)
        // The SDK has no automatic fall-back to path style for an endpoint that is an address.
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Ok(Client::from_conf(config.build()))
}

/// Bytes without a pattern that a misplaced block would repeat.
fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

async fn read(client: &Client, bucket: &str, key: &str) -> Outcome<Vec<u8>> {
    let answer = client.get_object().bucket(bucket).key(key).send().await?;
    Ok(answer.body.collect().await?.to_vec())
}

async fn put_and_get(client: &Client, bucket: &str) -> Outcome {
    for (number, size) in [0, 1, 4096, 300_000, 9 * MIB].into_iter().enumerate() {
        let data = bytes(size, number as u64);
        let key = format!("sized/{size}");
        let body = ByteStream::from(data.clone());
        client
            .put_object()
            .bucket(bucket)
            .key(&key)
            .metadata("origin", "rust")
            .body(body)
            .send()
            .await?;
        ensure(
            read(client, bucket, &key).await? == data,
            "the bytes read are not the bytes written",
        )?;
        let head = client.head_object().bucket(bucket).key(&key).send().await?;
        ensure(
            head.content_length() == Some(i64::try_from(size)?),
            "content length",
        )?;
        ensure(
            head.metadata()
                .and_then(|all| all.get("origin"))
                .is_some_and(|v| v == "rust"),
            "metadata",
        )?;
    }
    let range = client
        .get_object()
        .bucket(bucket)
        .key("sized/300000")
        .range("bytes=1000-1999")
        .send()
        .await?;
    let data = range.body.collect().await?.to_vec();
    ensure(
        data == bytes(300_000, 3)[1000..2000],
        "the range is not that part of the object",
    )
}

async fn odd_keys(client: &Client, bucket: &str) -> Outcome {
    for key in ODD_KEYS {
        let name = format!("odd/{key}");
        client
            .put_object()
            .bucket(bucket)
            .key(name)
            .body(ByteStream::from(key.as_bytes().to_vec()))
            .send()
            .await?;
    }
    for key in ODD_KEYS {
        ensure(
            read(client, bucket, &format!("odd/{key}")).await? == key.as_bytes(),
            key,
        )?;
    }
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix("odd/")
        .max_keys(3)
        .into_paginator()
        .send();
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await {
        listed.extend(
            page?
                .contents()
                .iter()
                .filter_map(|object| object.key().map(str::to_owned)),
        );
    }
    let mut expected: Vec<String> = ODD_KEYS.iter().map(|key| format!("odd/{key}")).collect();
    expected.sort();
    ensure(listed == expected, &format!("listed {listed:?}"))
}

async fn multipart(client: &Client, bucket: &str) -> Outcome {
    let sizes = [5 * MIB, 5 * MIB + 77_777, 6 * MIB + 1, 12_345];
    let created = client
        .create_multipart_upload()
        .bucket(bucket)
        .key("multipart")
        .send()
        .await?;
    let id = created.upload_id().ok_or("no upload id")?;
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    for (number, size) in (1..).zip(sizes) {
        let data = bytes(size, 100 + u64::try_from(number)?);
        let upload = client
            .upload_part()
            .bucket(bucket)
            .key("multipart")
            .upload_id(id)
            .part_number(number);
        let sent = upload.body(ByteStream::from(data.clone())).send().await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32);
        parts.push(part.build());
        whole.extend(data);
    }
    let list = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    client
        .complete_multipart_upload()
        .bucket(bucket)
        .key("multipart")
        .upload_id(id)
        .multipart_upload(list)
        .send()
        .await?;
    ensure(
        read(client, bucket, "multipart").await? == whole,
        "the bytes read are not the parts' bytes",
    )
}

/// The presigned requests are made by the SDK and sent by curl: another client, as in life.
async fn presigned(client: &Client, bucket: &str) -> Outcome {
    let hour = PresigningConfig::expires_in(Duration::from_secs(3600))?;
    let put = client
        .put_object()
        .bucket(bucket)
        .key("presigned key")
        .presigned(hour.clone())
        .await?;
    curl(&["--request", "PUT", "--data-binary", "by curl", put.uri()])?;
    let get = client
        .get_object()
        .bucket(bucket)
        .key("presigned key")
        .presigned(hour)
        .await?;
    ensure(
        curl(&[get.uri()])? == b"by curl",
        "the presigned GET does not give what the presigned PUT gave",
    )
}

fn curl(arguments: &[&str]) -> Outcome<Vec<u8>> {
    let done = std::process::Command::new("curl")
        .args(["--silent", "--fail-with-body", "--noproxy", "*"])
        .args(arguments)
        .output()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        Ok(done.stdout)
    } else {
        Err(format!("curl: {} {text}", done.status).into())
    }
}

async fn wrong_secret(bucket: &str) -> Outcome {
    let Err(error) = client("not-the-secret")?
        .list_objects_v2()
        .bucket(bucket)
        .send()
        .await
    else {
        return Err("a wrong secret was accepted".into());
    };
    let code = error.code().unwrap_or_default();
    ensure(
        code == "SignatureDoesNotMatch",
        &format!("error code {code}"),
    )
}

async fn delete_all(client: &Client, bucket: &str) -> Outcome {
    let listed = client.list_objects_v2().bucket(bucket).send().await?;
    let keys = listed.contents().iter().filter_map(|object| object.key());
    let keys: Result<Vec<_>, _> = keys
        .map(|key| ObjectIdentifier::builder().key(key).build())
        .collect();
    let list = Delete::builder().set_objects(Some(keys?)).build()?;
    let deleted = client
        .delete_objects()
        .bucket(bucket)
        .delete(list)
        .send()
        .await?;
    ensure(
        deleted.errors().is_empty(),
        "errors in the answer to DeleteObjects",
    )?;
    let left = client.list_objects_v2().bucket(bucket).send().await?;
    ensure(left.key_count() == Some(0), "objects are left")
}
