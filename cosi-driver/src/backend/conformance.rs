//! What every backend does, in memory and on a server.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{
    Backend, BackendError, Encryption, IdentityKind, Lifecycle, LockMode, LockRule, MemoryBackend,
    NewBucket, NewIdentity, ObjectVersion, Profile, Quota, Setting, Tags,
    world::{MemoryWorld, ServerWorld, World},
};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let tag = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(tag).collect()
}

fn new_bucket(pairs: &[(&str, &str)]) -> NewBucket {
    NewBucket {
        tags: tags(pairs),
        ..NewBucket::default()
    }
}

async fn conforms(world: &dyn World) {
    let backend = world.backend();
    who_asks(&*backend).await;
    buckets(&*backend).await;
    what_is_not_there(&*backend).await;
    settings(&*backend).await;
    profiles(&*backend).await;
    policies_of_buckets(&*backend).await;
    content(world).await;
    locks(world).await;
    many_versions(world).await;
    users(&*backend).await;
    roles(&*backend).await;
    keys(world).await;
}

async fn who_asks(backend: &dyn Backend) {
    let caller = backend.caller().await.unwrap();
    assert_eq!(caller.account.len(), 12);
    assert_eq!(caller.arn, format!("arn:aws:iam::{}:root", caller.account));
}

async fn buckets(backend: &dyn Backend) {
    let before = OffsetDateTime::now_utc() - time::Duration::minutes(1);
    let all = tags(&[("cosi.larder.dev/driver", "x"), ("a", "b=c@d+e/f")]);
    let new = NewBucket {
        tags: all.clone(),
        ..NewBucket::default()
    };
    backend.create_bucket("made-1", &new).await.unwrap();
    assert_eq!(backend.bucket_tags("made-1").await.unwrap(), all);
    // Again, with others: it stays as it is.
    let other = new_bucket(&[("a", "other")]);
    backend.create_bucket("made-1", &other).await.unwrap();
    assert_eq!(backend.bucket_tags("made-1").await.unwrap(), all);
    let less = tags(&[("only", "")]);
    backend.put_bucket_tags("made-1", &less).await.unwrap();
    assert_eq!(backend.bucket_tags("made-1").await.unwrap(), less);

    backend
        .create_bucket("made-2", &new_bucket(&[]))
        .await
        .unwrap();
    assert_eq!(backend.bucket_tags("made-2").await.unwrap(), Tags::new());
    let listed = backend.list_buckets("made-").await.unwrap();
    let names: Vec<_> = listed.iter().map(|bucket| bucket.name.as_str()).collect();
    assert_eq!(names, ["made-1", "made-2"]);
    assert!(listed.iter().all(|bucket| bucket.created > before));
    assert_eq!(backend.list_buckets("made-3").await.unwrap(), []);

    let wrong = tags(&[("a", "<>")]);
    let refused = backend.put_bucket_tags("made-1", &wrong).await;
    assert!(
        matches!(refused, Err(BackendError::Refused { .. })),
        "{refused:?}"
    );
    backend.delete_bucket("made-1").await.unwrap();
    let gone = backend.delete_bucket("made-1").await;
    assert_eq!(gone, Err(BackendError::NoSuchBucket("made-1".to_owned())));
    backend.delete_bucket("made-2").await.unwrap();
}

async fn what_is_not_there(backend: &dyn Backend) {
    let missing = BackendError::NoSuchBucket("none".to_owned());
    let quota = Setting::Quota(Quota::default());
    assert_eq!(backend.bucket_tags("none").await, Err(missing.clone()));
    assert_eq!(backend.bucket_policy("none").await, Err(missing.clone()));
    assert_eq!(backend.list_versions("none").await, Err(missing.clone()));
    assert_eq!(backend.list_uploads("none").await, Err(missing.clone()));
    assert_eq!(
        backend.configure("none", &Setting::Versioning).await,
        Err(missing)
    );
    let profile = Setting::Profile(Profile::parse("1+0").unwrap());
    assert_eq!(
        backend.configure("none", &profile).await,
        Err(BackendError::NoSuchBucket("none".to_owned()))
    );
    backend.configure("none", &quota).await.unwrap_err();
    for kind in [IdentityKind::User, IdentityKind::Role] {
        assert_eq!(backend.identity(kind, "none").await, Ok(None));
        assert_eq!(backend.identity_policy(kind, "none", "p").await, Ok(None));
        let gone = backend.delete_identity(kind, "none").await;
        assert!(
            matches!(gone, Err(BackendError::NoSuchEntity(_))),
            "{gone:?}"
        );
    }
    let key = backend.create_access_key("none", "t").await;
    assert!(matches!(key, Err(BackendError::NoSuchEntity(_))), "{key:?}");
}

async fn settings(backend: &dyn Backend) {
    backend
        .create_bucket("set", &new_bucket(&[]))
        .await
        .unwrap();
    let before = backend.configuration("set").await.unwrap();
    assert!(!before.versioning && before.object_lock.is_none() && before.lifecycle.is_empty());
    assert_eq!(before.quota, Quota::default());
    let rule = LockRule {
        mode: LockMode::Governance,
        days: 3,
    };
    let refused = backend.configure("set", &Setting::ObjectLock(rule)).await;
    assert!(
        matches!(refused, Err(BackendError::Refused { .. })),
        "{refused:?}"
    );
    let lifecycle = Lifecycle {
        expire_days: Some(30),
        noncurrent_days: Some(2),
        abort_days: Some(1),
    };
    let quota = Quota {
        bytes: Some(1 << 30),
        objects: Some(7),
    };
    for setting in [
        Setting::Versioning,
        Setting::ObjectLock(rule),
        Setting::Lifecycle(lifecycle),
        Setting::Encryption(Encryption::Aes256),
        Setting::Quota(quota),
    ] {
        for _ in 0..2 {
            backend.configure("set", &setting).await.unwrap();
        }
    }
    let after = backend.configuration("set").await.unwrap();
    assert!(after.versioning);
    assert_eq!(after.object_lock, Some(rule));
    assert_eq!(after.lifecycle, lifecycle);
    assert_eq!(after.encryption, Some(Encryption::Aes256));
    assert_eq!(after.quota, quota);
    backend.delete_bucket("set").await.unwrap();
}

/// Both have one disk.
async fn profiles(backend: &dyn Backend) {
    let asked = |profile| NewBucket {
        profile: Profile::parse(profile),
        ..NewBucket::default()
    };
    for too_much in ["1+1", "2+0"] {
        let refused = backend.create_bucket("coded", &asked(too_much)).await;
        assert!(
            matches!(&refused, Err(BackendError::Refused { code, message })
                if code == "InvalidArgument" && message.contains(too_much)),
            "{refused:?}"
        );
        let tags = backend.bucket_tags("coded").await;
        assert!(matches!(tags, Err(BackendError::NoSuchBucket(_))));
    }
    let own = Profile::parse("1+0").unwrap();
    for (new, is_own) in [(asked("1+0"), true), (NewBucket::default(), false)] {
        backend.create_bucket("coded", &new).await.unwrap();
        let there = backend.configuration("coded").await.unwrap().profile;
        assert_eq!(there, is_own.then_some(own));
        let looked = backend.configure("coded", &Setting::Profile(own)).await;
        assert_eq!(looked.is_ok(), is_own, "{looked:?}");
        backend.delete_bucket("coded").await.unwrap();
    }
}

async fn policies_of_buckets(backend: &dyn Backend) {
    backend
        .create_bucket("shut", &new_bucket(&[]))
        .await
        .unwrap();
    assert_eq!(backend.bucket_policy("shut").await.unwrap(), None);
    let arns = ["arn:aws:iam::000000000001:root".to_owned()];
    let policy = crate::policy::closed(None, "shut", &arns);
    let put = backend.put_bucket_policy("shut", Some(&policy)).await;
    put.unwrap();
    let there = backend.bucket_policy("shut").await.unwrap();
    assert_eq!(
        crate::policy::closed(there.as_deref(), "shut", &arns),
        policy
    );
    for _ in 0..2 {
        backend.put_bucket_policy("shut", None).await.unwrap();
        assert_eq!(backend.bucket_policy("shut").await.unwrap(), None);
    }
    backend.delete_bucket("shut").await.unwrap();
}

async fn content(world: &dyn World) {
    let backend = world.backend();
    backend
        .create_bucket("full", &new_bucket(&[]))
        .await
        .unwrap();
    backend
        .configure("full", &Setting::Versioning)
        .await
        .unwrap();
    world.put("full", "a").await;
    world.put("full", "a").await;
    world.put("full", "dir/b%20%2B%2526").await;
    world.remove("full", "a").await;
    world.begin("full", "c").await;
    world.begin("full", "d%01").await;
    let refused = backend.delete_bucket("full").await;
    assert_eq!(
        refused,
        Err(BackendError::BucketNotEmpty("full".to_owned()))
    );

    let page = backend.list_versions("full").await.unwrap();
    assert!(!page.is_truncated);
    let shown = |version: &ObjectVersion| (version.is_marker, version.is_latest);
    let flags: Vec<_> = page.versions.iter().map(shown).collect();
    assert_eq!(
        flags,
        [(true, true), (false, false), (false, false), (false, true)]
    );
    let none = backend
        .delete_versions("full", &page.versions)
        .await
        .unwrap();
    assert_eq!(none, []);
    // What is gone is gone.
    backend
        .delete_versions("full", &page.versions)
        .await
        .unwrap();
    assert_eq!(backend.list_versions("full").await.unwrap().versions, []);

    let page = backend.list_uploads("full").await.unwrap();
    assert_eq!(page.uploads.len(), 2);
    for upload in page.uploads.iter().chain(&page.uploads) {
        backend.abort_upload("full", upload).await.unwrap();
    }
    assert_eq!(backend.list_uploads("full").await.unwrap().uploads, []);
    backend.delete_bucket("full").await.unwrap();
}

async fn locks(world: &dyn World) {
    let backend = world.backend();
    let new = NewBucket {
        object_lock: true,
        ..NewBucket::default()
    };
    backend.create_bucket("locked", &new).await.unwrap();
    assert!(backend.configuration("locked").await.unwrap().versioning);
    world.put("locked", "free").await;
    world.put("locked", "held").await;
    world.hold("locked", "held", true).await;
    world.remove("locked", "held").await;
    let versions = backend.list_versions("locked").await.unwrap().versions;
    let failures = backend.delete_versions("locked", &versions).await.unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(
        (failures[0].version.key.as_str(), failures[0].code.as_str()),
        ("held", "AccessDenied")
    );
    let held = backend.held("locked", &failures[0].version).await.unwrap();
    assert!(held.legal_hold && held.retention.is_none());
    // Its delete marker is gone: it is the current one again.
    world.hold("locked", "held", false).await;
    let versions = backend.list_versions("locked").await.unwrap().versions;
    assert_eq!(
        backend.delete_versions("locked", &versions).await.unwrap(),
        []
    );

    let rule = LockRule {
        mode: LockMode::Compliance,
        days: 2,
    };
    backend
        .configure("locked", &Setting::ObjectLock(rule))
        .await
        .unwrap();
    world.put("locked", "kept").await;
    let versions = backend.list_versions("locked").await.unwrap().versions;
    let failures = backend.delete_versions("locked", &versions).await.unwrap();
    assert_eq!(failures.len(), 1);
    let (mode, until) = backend
        .held("locked", &versions[0])
        .await
        .unwrap()
        .retention
        .unwrap();
    assert_eq!(mode, LockMode::Compliance);
    let hours = (until - OffsetDateTime::now_utc()).whole_hours();
    assert!((47..=48).contains(&hours), "{hours}");
    // Without locks there is nothing that keeps an object.
    backend
        .create_bucket("unlocked", &new_bucket(&[]))
        .await
        .unwrap();
    world.put("unlocked", "a").await;
    let versions = backend.list_versions("unlocked").await.unwrap().versions;
    let held = backend.held("unlocked", &versions[0]).await.unwrap();
    assert!(!held.legal_hold && held.retention.is_none());
}

async fn many_versions(world: &dyn World) {
    let backend = world.backend();
    backend
        .create_bucket("many", &new_bucket(&[]))
        .await
        .unwrap();
    let keys: Vec<_> = (0..1003).map(|i| format!("k{i:04}")).collect();
    for keys in keys.chunks(64) {
        let all = keys.iter().map(|key| world.put("many", key));
        futures_util::future::join_all(all).await;
    }
    let page = backend.list_versions("many").await.unwrap();
    assert!(page.is_truncated && page.versions.len() == 1000);
    backend
        .delete_versions("many", &page.versions)
        .await
        .unwrap();
    let page = backend.list_versions("many").await.unwrap();
    assert!(!page.is_truncated && page.versions.len() == 3);
    backend
        .delete_versions("many", &page.versions)
        .await
        .unwrap();
    backend.delete_bucket("many").await.unwrap();
}

const PATH: &str = "/cosi/test/";

fn new_identity(name: &str, path: &str, trust: Option<&str>) -> NewIdentity {
    NewIdentity {
        name: name.to_owned(),
        path: path.to_owned(),
        tags: tags(&[("a", "1"), ("b", "x=y@z+2F")]),
        trust: trust.map(str::to_owned),
    }
}

async fn users(backend: &dyn Backend) {
    identities(backend, IdentityKind::User, None).await;
}

async fn roles(backend: &dyn Backend) {
    let account = backend.caller().await.unwrap().account;
    let trust = crate::policy::of_trust(&crate::policy::Trusted {
        account: &account,
        provider: "https://oidc.example/cluster",
        audience: "larder",
        namespace: "db",
        name: "backup",
    });
    identities(backend, IdentityKind::Role, Some(&trust)).await;
}

async fn identities(backend: &dyn Backend, kind: IdentityKind, trust: Option<&str>) {
    let new = new_identity("one", PATH, trust);
    let made = backend.create_identity(kind, &new).await.unwrap();
    assert!(made.arn.ends_with("/cosi/test/one"), "{}", made.arn);
    let again = backend.create_identity(kind, &new).await;
    assert!(
        matches!(again, Err(BackendError::EntityAlreadyExists(_))),
        "{again:?}"
    );
    let stored = backend.identity(kind, "one").await.unwrap().unwrap();
    assert_eq!(
        (&stored.path, &stored.tags, &stored.arn),
        (&new.path, &new.tags, &made.arn)
    );

    let elsewhere = new_identity("two", "/else/", trust);
    backend.create_identity(kind, &elsewhere).await.unwrap();
    let listed = backend.list_identities(kind, PATH).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, "one");
    backend.delete_identity(kind, "two").await.unwrap();

    let more = tags(&[("b", "2"), ("c", "3")]);
    backend.tag_identity(kind, "one", &more).await.unwrap();
    backend
        .untag_identity(kind, "one", &["a", "none"])
        .await
        .unwrap();
    let stored = backend.identity(kind, "one").await.unwrap().unwrap();
    assert_eq!(stored.tags, more);

    let document = crate::policy::of_account(
        &[("b".to_owned(), crate::provision::AccessMode::ReadOnly)],
        &crate::policy::Scope::default(),
    );
    assert_eq!(backend.identity_policy(kind, "one", "p").await, Ok(None));
    backend
        .put_identity_policy(kind, "one", "p", &document)
        .await
        .unwrap();
    let kept = backend.identity_policy(kind, "one", "p").await.unwrap();
    assert_eq!(kept.as_ref(), Some(&document));
    let conflict = backend.delete_identity(kind, "one").await;
    assert!(
        matches!(conflict, Err(BackendError::DeleteConflict(_))),
        "{conflict:?}"
    );
    let long = "b".repeat(63);
    let many: Vec<_> = (0..100)
        .map(|_| (long.clone(), crate::provision::AccessMode::ReadOnly))
        .collect();
    let large = crate::policy::of_account(&many, &crate::policy::Scope::default());
    let refused = backend.put_identity_policy(kind, "one", "p", &large).await;
    assert!(
        matches!(refused, Err(BackendError::LimitExceeded(_))),
        "{refused:?}"
    );
    backend
        .delete_identity_policy(kind, "one", "p")
        .await
        .unwrap();
    let gone = backend.delete_identity_policy(kind, "one", "p").await;
    assert!(
        matches!(gone, Err(BackendError::NoSuchEntity(_))),
        "{gone:?}"
    );
    backend.delete_identity(kind, "one").await.unwrap();
}

async fn keys(world: &dyn World) {
    let backend = world.backend();
    let new = new_identity("keyed", PATH, None);
    backend
        .create_identity(IdentityKind::User, &new)
        .await
        .unwrap();
    let one = backend.create_access_key("keyed", "keyed/1").await.unwrap();
    assert_eq!(
        backend.create_access_key("keyed", "keyed/1").await.unwrap(),
        one
    );
    assert!(world.takes(&one).await);
    let two = backend.create_access_key("keyed", "keyed/2").await.unwrap();
    assert_ne!(one, two);
    let three = backend.create_access_key("keyed", "keyed/3").await;
    assert!(
        matches!(three, Err(BackendError::LimitExceeded(_))),
        "{three:?}"
    );

    backend
        .activate_access_key("keyed", &one.access_key, false)
        .await
        .unwrap();
    assert!(!world.takes(&one).await && world.takes(&two).await);
    let mut listed = backend.access_keys("keyed").await.unwrap();
    listed.sort_by_key(|key| key.is_active);
    let shown: Vec<_> = listed.iter().map(|key| (&key.id, key.is_active)).collect();
    assert_eq!(shown, [(&one.access_key, false), (&two.access_key, true)]);
    backend
        .activate_access_key("keyed", &one.access_key, true)
        .await
        .unwrap();
    assert!(world.takes(&one).await);

    let conflict = backend.delete_identity(IdentityKind::User, "keyed").await;
    assert!(
        matches!(conflict, Err(BackendError::DeleteConflict(_))),
        "{conflict:?}"
    );
    for key in [&one, &two] {
        backend
            .delete_access_key("keyed", &key.access_key)
            .await
            .unwrap();
        let gone = backend.delete_access_key("keyed", &key.access_key).await;
        assert!(
            matches!(gone, Err(BackendError::NoSuchEntity(_))),
            "{gone:?}"
        );
        assert!(!world.takes(key).await);
    }
    backend
        .delete_identity(IdentityKind::User, "keyed")
        .await
        .unwrap();
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&MemoryWorld(Arc::new(MemoryBackend::new()))).await;
}

#[tokio::test]
async fn a_server_conforms() {
    let Some(world) = ServerWorld::start().await else {
        return;
    };
    conforms(&world).await;
    assert!(!world.log().contains(world.root.secret_key.as_str()));
}
