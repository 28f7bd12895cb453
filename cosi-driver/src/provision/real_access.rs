//! What applications may do with the keys that they were given, asked of a real server; and what the driver needs to be allowed itself.

use super::{
    AccessMode, Grant, KeyPair, ProvisionError, Provisioner,
    testing::{grant, key, parameters, refusal, settings, with_mode},
};
use crate::{
    backend::{
        IdentityKind, NewIdentity, Tags,
        server::testing::{App, backend},
        world::{ServerWorld, World as _},
    },
    policy,
};

/// A request, and which modes may make it, in the order of [`AccessMode::ALL`]: `W`rite as well as read, `R`ead only, `w`rite only, `A`ppend only, a`D`min.
struct Row {
    what: &'static str,
    method: &'static str,
    /// `MODE` in it is the mode's name, in small letters.
    path: &'static str,
    body: &'static str,
    allowed: &'static str,
}

const fn row(
    method: &'static str,
    path: &'static str,
    body: &'static str,
    allowed: &'static str,
    what: &'static str,
) -> Row {
    Row {
        what,
        method,
        path,
        body,
        allowed,
    }
}

const TAGGING: &str = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>x/</Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
const VERSIONING: &str =
    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

const TABLE: [Row; 26] = [
    row("GET", "/data/in/a", "", "WRAD", "read an object"),
    row("HEAD", "/data/in/a", "", "WRAD", "ask about an object"),
    row(
        "GET",
        "/data/in/a?versionId=VERSION",
        "",
        "WRAD",
        "read a version",
    ),
    row(
        "GET",
        "/data/in/a?tagging=",
        "",
        "WRAD",
        "read an object's tags",
    ),
    row(
        "GET",
        "/data?list-type=2&prefix=in%2F",
        "",
        "WRAD",
        "list below a prefix",
    ),
    row("GET", "/data?prefix=in%2F", "", "WRAD", "list the old way"),
    row("GET", "/data?list-type=2", "", "WRAD", "list everything"),
    row(
        "GET",
        "/data?versions=&prefix=in%2F",
        "",
        "WRAD",
        "list versions",
    ),
    row("HEAD", "/data", "", "WRAD", "ask about the bucket"),
    row(
        "GET",
        "/data?location=",
        "",
        "WRwAD",
        "ask where the bucket is",
    ),
    row("GET", "/data?versioning=", "", "WRAD", "ask about versions"),
    row("GET", "/data?uploads=", "", "WAD", "list uploads"),
    row("PUT", "/data/in/new-MODE", "x", "WwAD", "write an object"),
    row(
        "POST",
        "/data/in/upload-MODE?uploads=",
        "",
        "WwAD",
        "begin an upload",
    ),
    row("PUT", "/data/in/a", "x", "WwD", "overwrite an object"),
    row("DELETE", "/data/in/victim", "", "WD", "delete an object"),
    row(
        "DELETE",
        "/data/in/versioned?versionId=VICTIM",
        "",
        "D",
        "delete a version",
    ),
    row("PUT", "/data/in/a?tagging=", TAGGING, "WD", "tag an object"),
    row("GET", "/data?policy=", "", "D", "read the bucket's policy"),
    row(
        "PUT",
        "/data?lifecycle=",
        LIFECYCLE,
        "D",
        "change the lifecycle",
    ),
    row(
        "PUT",
        "/data?versioning=",
        VERSIONING,
        "D",
        "change versions",
    ),
    row(
        "PUT",
        "/data?tagging=",
        TAGGING,
        "",
        "change the bucket's tags",
    ),
    row("DELETE", "/data", "", "", "delete the bucket"),
    row("PUT", "/another-MODE", "", "", "make a bucket"),
    row("GET", "/other/a", "", "", "read of another bucket"),
    row("GET", "/other?list-type=2", "", "", "list another bucket"),
];

fn letter(mode: AccessMode) -> char {
    match mode {
        AccessMode::ReadWrite => 'W',
        AccessMode::ReadOnly => 'R',
        AccessMode::WriteOnly => 'w',
        AccessMode::AppendOnly => 'A',
        AccessMode::Admin => 'D',
    }
}

/// Whether the request was let through; what happened to it then is another matter.
fn is_let_in(answer: &Result<String, String>) -> bool {
    !matches!(answer, Err(code) if code == "AccessDenied")
}

struct Data {
    world: ServerWorld,
    provisioner: Provisioner,
    root: App,
}

impl Data {
    async fn new() -> Option<Self> {
        let world = ServerWorld::start().await?;
        let provisioner = Provisioner::new(world.backend(), settings());
        let versioned = parameters(&[("versioning", "Enabled"), ("onDelete", "Trash")]);
        for bucket in ["data", "other"] {
            provisioner.create_bucket(bucket, &versioned).await.unwrap();
        }
        for key in ["in/a", "in/victim", "in/versioned", "out/b"] {
            world.put("data", key).await;
        }
        world.put("other", "a").await;
        let root = world.app(&world.root);
        Some(Self {
            world,
            provisioner,
            root,
        })
    }

    async fn app(&self, asked: &Grant) -> App {
        let granted = self.provisioner.grant(asked).await.unwrap();
        self.world.app(&key(&granted))
    }

    async fn version(&self, key: &str) -> String {
        let page = self.world.backend().list_versions("data").await.unwrap();
        let mut versions = page.versions.into_iter();
        versions.find(|version| version.key == key).unwrap().version
    }
}

#[tokio::test]
async fn every_mode_may_do_what_it_is_for_and_nothing_else() {
    let Some(data) = Data::new().await else {
        return;
    };
    for mode in AccessMode::ALL {
        let name = mode.name().to_lowercase();
        let app = data
            .app(&with_mode(&format!("ba-{name}"), "data", mode))
            .await;
        let version = data.version("in/a").await;
        let victim = data.version("in/versioned").await;
        for row in &TABLE {
            let path = row.path.replace("MODE", &name);
            let path = path.replace("VERSION", &version).replace("VICTIM", &victim);
            let answer = app.send(row.method, &path, row.body).await;
            let expected = row.allowed.contains(letter(mode));
            let (what, got) = (row.what, &answer);
            assert_eq!(
                is_let_in(&answer),
                expected || is_append(mode, row),
                "{mode:?}: {what}: {got:?}"
            );
            let is_done =
                answer.is_ok() || matches!(got, Err(code) if code == "NoSuchBucketPolicy");
            assert!(!expected || is_done, "{mode:?}: {what}: {got:?}");
            if is_append(mode, row) {
                assert_eq!(answer, Err("PreconditionFailed".to_owned()));
            }
        }
        // A whole upload, and one that is given up.
        let can_write = mode != AccessMode::ReadOnly;
        assert_eq!(uploads(&app, &name).await.is_ok(), can_write, "{mode:?}");
    }
    let kept = data.root.send("GET", "/data/in/a", "").await;
    assert!(kept.is_ok());
}

/// Overwriting is let in, and fails: the server makes the write conditional.
fn is_append(mode: AccessMode, row: &Row) -> bool {
    mode == AccessMode::AppendOnly && row.what == "overwrite an object"
}

async fn uploads(app: &App, name: &str) -> Result<(), String> {
    let path = format!("/data/in/parts-{name}");
    let id = app.begin_upload(&path).await?;
    let part = format!("{path}?partNumber=1&uploadId={id}");
    app.send("PUT", &part, "part").await?;
    app.send("GET", &format!("{path}?uploadId={id}"), "")
        .await?;
    app.send("DELETE", &format!("{path}?uploadId={id}"), "")
        .await
        .map(drop)
}

#[tokio::test]
async fn a_prefix_is_all_that_there_is_for_whoever_has_one() {
    let Some(data) = Data::new().await else {
        return;
    };
    for mode in AccessMode::ALL {
        if mode == AccessMode::Admin {
            continue;
        }
        let name = mode.name().to_lowercase();
        let below = Grant {
            parameters: parameters(&[("prefix", "in/")]),
            ..with_mode(&format!("ba-{name}"), "data", mode)
        };
        let app = data.app(&below).await;
        let may_read = mode != AccessMode::WriteOnly;
        let may_write = mode != AccessMode::ReadOnly;
        let inside = format!("/data/in/{name}");
        let outside = format!("/data/out/{name}");
        for (method, path, body, expected) in [
            ("GET", "/data/in/a", "", may_read),
            ("GET", "/data/out/b", "", false),
            ("GET", "/data/i", "", false),
            ("GET", "/data?list-type=2&prefix=in%2F", "", may_read),
            (
                "GET",
                "/data?list-type=2&prefix=in%2Fa&delimiter=%2F",
                "",
                may_read,
            ),
            ("GET", "/data?list-type=2&prefix=out%2F", "", false),
            ("GET", "/data?list-type=2&prefix=i", "", false),
            ("GET", "/data?list-type=2", "", false),
            ("GET", "/data?versions=", "", false),
            ("GET", "/data?location=", "", true),
            ("PUT", &inside, "x", may_write),
            ("PUT", &outside, "x", false),
            ("DELETE", "/data/out/b", "", false),
        ] {
            let answer = app.send(method, path, body).await;
            assert_eq!(
                answer.is_ok(),
                expected,
                "{mode:?}: {method} {path}: {answer:?}"
            );
            assert!(
                expected || !is_let_in(&answer),
                "{mode:?}: {method} {path}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_access_counts_from_its_networks_for_its_buckets_and_until_it_is_taken_away() {
    let Some(data) = Data::new().await else {
        return;
    };
    let from = |networks: &str, account: &str| Grant {
        parameters: parameters(&[("sourceCIDRs", networks)]),
        ..grant(account, &["data", "other"])
    };
    let here = data.app(&from("127.0.0.0/8,::1", "ba-here")).await;
    here.send("GET", "/data/in/a", "").await.unwrap();
    here.send("GET", "/other/a", "").await.unwrap();
    let elsewhere = data.app(&from("192.0.2.0/24", "ba-elsewhere")).await;
    let answer = elsewhere.send("GET", "/data/in/a", "").await;
    assert_eq!(answer, Err("AccessDenied".to_owned()));

    data.provisioner.disable("ba-here").await.unwrap();
    let gone = Err("InvalidAccessKeyId".to_owned());
    assert_eq!(here.send("GET", "/data/in/a", "").await, gone);
    data.app(&from("127.0.0.0/8,::1", "ba-here")).await;
    here.send("GET", "/data/in/a", "").await.unwrap();
    data.provisioner.revoke("ba-here").await.unwrap();
    assert_eq!(here.send("GET", "/data/in/a", "").await, gone);
}

#[tokio::test]
async fn nobody_uses_what_is_in_the_trash() {
    let Some(data) = Data::new().await else {
        return;
    };
    let app = data
        .app(&with_mode("ba-1", "data", AccessMode::Admin))
        .await;
    let none = parameters(&[]);
    data.provisioner.delete_bucket("data", &none).await.unwrap();
    for (method, path) in [
        ("GET", "/data/in/a"),
        ("PUT", "/data/in/new"),
        ("GET", "/data?list-type=2"),
        ("DELETE", "/data?policy="),
    ] {
        let answer = app.send(method, path, "").await;
        assert_eq!(
            answer.err().as_deref(),
            Some("AccessDenied"),
            "{method} {path}"
        );
    }
    data.root.send("GET", "/data/in/a", "").await.unwrap();
    data.provisioner.existing_bucket("data").await.unwrap();
    app.send("GET", "/data/in/a", "").await.unwrap();
}

/// A driver that is a user with the documented policy, and nothing else.
async fn user_of_driver(data: &Data) -> KeyPair {
    let backend = data.world.backend();
    let new = NewIdentity {
        name: "larder-cosi".to_owned(),
        path: "/".to_owned(),
        tags: Tags::new(),
        trust: None,
    };
    let user = IdentityKind::User;
    backend.create_identity(user, &new).await.unwrap();
    let document = policy::of_driver("cosi.larder.dev");
    let put = backend.put_identity_policy(user, "larder-cosi", "driver", &document);
    put.await.unwrap();
    backend.create_access_key("larder-cosi", "1").await.unwrap()
}

#[tokio::test]
async fn the_documented_policy_is_what_a_driver_needs() {
    let Some(data) = Data::new().await else {
        return;
    };
    let pair = user_of_driver(&data).await;
    let backend = std::sync::Arc::new(backend(&data.world.endpoint, &pair));
    let driver = Provisioner::new(backend, settings());
    let class = parameters(&[
        ("objectLock", "Governance"),
        ("objectLockDays", "1"),
        ("lifecycleExpireDays", "3"),
        ("encryption", "AES256"),
        ("onDelete", "Trash"),
    ]);
    let none = parameters(&[]);
    driver.create_bucket("own", &class).await.unwrap();
    let asked = grant("ba-own", &["own"]);
    let granted = driver.grant(&asked).await.unwrap();
    assert_eq!(driver.grant(&asked).await.unwrap(), granted);
    driver.rotate(&asked, 2).await.unwrap();
    driver.retire("ba-own", 2).await.unwrap();
    driver.disable("ba-own").await.unwrap();
    let role = super::testing::of_service_account("ba-role", "own");
    driver.grant(&role).await.unwrap();
    assert_eq!(driver.accounts().await.unwrap().len(), 2);
    data.world.put("own", "a").await;
    driver.delete_bucket("own", &none).await.unwrap();
    driver.existing_bucket("own").await.unwrap();
    let empty = parameters(&[("onDelete", "Empty")]);
    let locked = driver.delete_bucket("own", &empty).await;
    let message = refusal(ProvisionError::Precondition, locked);
    assert!(message.contains("mode Governance"), "{message}");
    for account in ["ba-own", "ba-role"] {
        driver.revoke(account).await.unwrap();
    }
    driver.create_bucket("empty", &none).await.unwrap();
    data.world.put("empty", "a").await;
    driver.delete_bucket("empty", &empty).await.unwrap();

    let quota = parameters(&[("quotaBytes", "1Gi")]);
    let denied = driver.create_bucket("quota", &quota).await;
    let message = refusal(ProvisionError::Denied, denied);
    assert!(
        message.contains("only the server's root may ask"),
        "{message}"
    );
    let profile = |profile| parameters(&[("erasureProfile", profile)]);
    let wide = driver.create_bucket("profile", &profile("2+0")).await;
    let message = refusal(ProvisionError::Invalid, wide);
    assert!(message.contains("needs 2 disks"), "{message}");
    let own = driver.create_bucket("profile", &profile("1+0")).await;
    own.unwrap();
    // It is no administrator of what is not its own.
    let other = driver.revoke("larder-cosi").await;
    other.unwrap();
    driver.check().await.unwrap();
}
