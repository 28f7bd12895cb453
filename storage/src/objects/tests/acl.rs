//! Owners and lists of objects belong to a version, as its tags do.

use super::super::{testing::*, *};

const SMALL: &[u8] = b"small";
const LARGE: &[u8] = &[7; 5000];

fn account(number: u64) -> ObjectOwner {
    ObjectOwner::Account(AccountId::from_number(number).unwrap())
}

fn acl(owner: Option<ObjectOwner>, list: Option<&str>) -> ObjectAcl {
    ObjectAcl {
        owner,
        list: list.map(|list| list.as_bytes().to_vec()),
    }
}

async fn put(fixture: &Fixture, name: &str, body: &[u8], acl: &ObjectAcl) -> Option<VersionId> {
    let request = PutObject {
        acl: acl.clone(),
        ..fixture.request(name, body).await
    };
    fixture.store.put_object(request).await.unwrap().version
}

async fn of(fixture: &Fixture, name: &str, version: Option<VersionId>) -> ObjectAcl {
    let handle = fixture
        .store
        .object_version(&bucket("bucket"), &key(name), version)
        .await;
    handle.unwrap().info().acl.clone()
}

async fn set(
    fixture: &Fixture,
    name: &str,
    version: Option<VersionId>,
    seen: &ObjectAcl,
    list: Option<&str>,
) -> Result<(), StoreError> {
    let set = SetAcl {
        seen: seen.clone(),
        list: acl(None, list).list,
    };
    fixture
        .store
        .set_acl(&bucket("bucket"), &key(name), version, set)
        .await
}

async fn listed_owners(fixture: &Fixture) -> Vec<(String, Option<ObjectOwner>)> {
    let request = ListObjects {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        limit: 100,
    };
    let listing = fixture.store.list_objects(request).await.unwrap();
    let entries = listing.entries.into_iter();
    entries
        .map(|entry| match entry {
            ListedEntry::Object(object) => (object.key.as_str().to_owned(), object.owner),
            ListedEntry::CommonPrefix(prefix) => panic!("{prefix}"),
        })
        .collect()
}

#[tokio::test]
async fn a_list_is_what_was_set_last_and_the_owner_stays() {
    let fixture = Fixture::with_bucket().await;
    for (name, body) in [("small", SMALL), ("large", LARGE), ("empty", b"")] {
        let first = acl(Some(account(7)), Some("first"));
        put(&fixture, name, body, &first).await;
        let written = fixture.handle(name).await.unwrap().info().clone();
        assert_eq!(written.acl, first);
        set(&fixture, name, None, &first, Some("second"))
            .await
            .unwrap();
        let changed = fixture.handle(name).await.unwrap().info().clone();
        assert_eq!(changed.acl, acl(Some(account(7)), Some("second")));
        assert_eq!(changed.modified_unix_millis, written.modified_unix_millis);
        assert_eq!(fixture.get(name).await.unwrap(), body);
        set(&fixture, name, None, &changed.acl, None).await.unwrap();
        assert_eq!(of(&fixture, name, None).await, acl(Some(account(7)), None));
    }
}

#[tokio::test]
async fn who_saw_another_list_or_owner_sets_nothing() {
    let fixture = Fixture::with_bucket().await;
    let now = acl(Some(ObjectOwner::Anonymous), Some("now"));
    put(&fixture, "a", SMALL, &now).await;
    for seen in [
        ObjectAcl::default(),
        acl(Some(account(0)), Some("now")),
        acl(Some(ObjectOwner::Anonymous), None),
    ] {
        let refused = set(&fixture, "a", None, &seen, Some("new")).await;
        assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    }
    assert_eq!(of(&fixture, "a", None).await, now);
    let missing = set(&fixture, "none", None, &now, None).await;
    assert!(matches!(missing, Err(StoreError::NoSuchKey)));
}

#[tokio::test]
async fn lists_have_a_largest_size() {
    let fixture = Fixture::with_bucket().await;
    put(&fixture, "a", SMALL, &ObjectAcl::default()).await;
    let none = ObjectAcl::default();
    let fits = "x".repeat(MAX_ACL_BYTES);
    let over = format!("{fits}x");
    let refused = set(&fixture, "a", None, &none, Some(&over)).await;
    assert!(matches!(refused, Err(StoreError::MetadataTooLarge { .. })));
    set(&fixture, "a", None, &none, Some(&fits)).await.unwrap();
    let request = PutObject {
        acl: acl(None, Some(&over)),
        ..fixture.request("b", SMALL).await
    };
    let refused = fixture.store.put_object(request).await;
    assert!(matches!(refused, Err(StoreError::MetadataTooLarge { .. })));
}

#[tokio::test]
async fn each_version_has_its_own_and_listings_show_the_owner_of_the_latest() {
    let fixture = Fixture::with_bucket().await;
    let plain = acl(Some(account(1)), Some("plain"));
    put(&fixture, "a", SMALL, &plain).await;
    let versioning = Versioning::Enabled;
    fixture
        .store
        .set_versioning(&bucket("bucket"), versioning)
        .await
        .unwrap();
    let second = put(&fixture, "a", SMALL, &acl(None, Some("second"))).await;
    let third = put(&fixture, "a", LARGE, &acl(Some(account(3)), None)).await;
    assert_eq!(
        listed_owners(&fixture).await,
        [("a".to_owned(), Some(account(3)))]
    );
    assert_eq!(of(&fixture, "a", Some(VersionId::Null)).await, plain);
    assert_eq!(of(&fixture, "a", second).await, acl(None, Some("second")));
    let seen = acl(None, Some("second"));
    set(&fixture, "a", second, &seen, Some("changed"))
        .await
        .unwrap();
    assert_eq!(of(&fixture, "a", second).await, acl(None, Some("changed")));
    assert_eq!(of(&fixture, "a", None).await, acl(Some(account(3)), None));
    let request = ListVersions {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        after_version: None,
        limit: 100,
    };
    let page = fixture.store.list_versions(request).await.unwrap();
    let owners: Vec<_> = page
        .entries
        .iter()
        .map(|entry| match entry {
            VersionEntry::Version(version) => version.object.owner,
            VersionEntry::CommonPrefix(prefix) => panic!("{prefix}"),
        })
        .collect();
    assert_eq!(
        owners,
        [Some(account(3)), None, Some(account(1))],
        "as many as before: no new version"
    );
    let item = DeleteItem {
        key: key("a"),
        version: third,
        if_match: None,
    };
    let deleted = fixture
        .store
        .delete_objects(&bucket("bucket"), vec![item], Governance::Heeded)
        .await
        .unwrap();
    assert!(deleted[0].is_ok());
    assert_eq!(listed_owners(&fixture).await, [("a".to_owned(), None)]);
}

#[tokio::test]
async fn an_upload_remembers_both_until_it_is_complete() {
    let fixture = Fixture::with_bucket().await;
    let wanted = acl(Some(account(9)), Some("list"));
    let request = CreateUpload {
        encryption: None,
        bucket: bucket("bucket"),
        key: key("a"),
        headers: Headers::default(),
        tags: Tags::default(),
        checksum: None,
        lock: ObjectLock::default(),
        acl: wanted.clone(),
    };
    let id = fixture.store.create_upload(request).await.unwrap();
    let info = fixture
        .store
        .upload(&bucket("bucket"), &key("a"), &id)
        .await;
    assert_eq!(info.unwrap().owner, Some(account(9)));
    fixture.part("a", id, 1, SMALL).await.unwrap();
    fixture.complete("a", id, &[(1, SMALL)]).await.unwrap();
    assert_eq!(of(&fixture, "a", None).await, wanted);
    assert_eq!(
        listed_owners(&fixture).await,
        [("a".to_owned(), Some(account(9)))]
    );
}

#[tokio::test]
async fn new_headers_come_with_a_new_owner() {
    let fixture = Fixture::with_bucket().await;
    put(&fixture, "a", SMALL, &acl(Some(account(1)), Some("old"))).await;
    let update = UpdateObject {
        bucket: bucket("bucket"),
        key: key("a"),
        headers: Headers::default(),
        tags: None,
        acl: acl(None, None),
        conditions: WriteConditions::default(),
    };
    fixture.store.update_headers(update).await.unwrap();
    assert_eq!(of(&fixture, "a", None).await, ObjectAcl::default());
}
