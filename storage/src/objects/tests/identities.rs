//! Identities: several records changed at once or not at all, and no access key given twice.

use bytes::Bytes;
use proptest::prelude::*;

use crate::objects::{keys, testing::*, *};

fn account(number: u64) -> AccountId {
    AccountId::from_number(number).unwrap()
}

fn user(of: u64, name: &str) -> IdentityName {
    IdentityName::new(account(of), IdentityKind::User, name)
}

fn put(name: IdentityName, content: &str, expected: Option<&StoredIdentity>) -> ChangeIdentity {
    ChangeIdentity {
        name,
        expected: expected.map(|stored| stored.revision),
        content: Some(Bytes::copy_from_slice(content.as_bytes())),
    }
}

fn records(records: Vec<ChangeIdentity>) -> ChangeIdentities {
    ChangeIdentities {
        records,
        ..ChangeIdentities::default()
    }
}

async fn all(store: &Store) -> Vec<(String, String)> {
    let found = store.identities().await.unwrap().into_iter();
    let shown = found.map(|stored| {
        let content = String::from_utf8(stored.content.to_vec()).unwrap();
        (stored.name.as_str().to_owned(), content)
    });
    shown.collect()
}

#[tokio::test]
async fn names_are_unique_in_an_account_whatever_their_case() {
    let mut fixture = Fixture::new();
    let create = |name, content| records(vec![put(name, content, None)]);
    let store = fixture.store.clone();
    store
        .change_identities(&create(user(1, "Ann"), "first"))
        .await
        .unwrap();
    let twin = store
        .change_identities(&create(user(1, "aNN"), "twin"))
        .await;
    assert!(matches!(twin, Err(StoreError::Conflict)));
    let group = IdentityName::new(account(1), IdentityKind::Group, "ann");
    for other in [user(2, "ann"), group] {
        store
            .change_identities(&create(other, "other"))
            .await
            .unwrap();
    }
    fixture.restart();
    let found = store.identity(&user(1, "ANN")).await.unwrap().unwrap();
    assert_eq!(found.content, "first");
    assert_eq!(all(&fixture.store).await.len(), 3);
    assert_eq!(store.identity(&user(1, "bob")).await.unwrap(), None);
}

#[tokio::test]
async fn a_change_of_several_records_happens_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let create = records(vec![
        put(user(1, "a"), "a1", None),
        put(user(1, "b"), "b1", None),
    ]);
    let revision = store.change_identities(&create).await.unwrap();
    let a = store.identity(&user(1, "a")).await.unwrap().unwrap();
    assert_eq!(a.revision, revision);
    let change = records(vec![put(user(1, "a"), "a2", Some(&a))]);
    store.change_identities(&change).await.unwrap();
    // What it has seen of `a` is old.
    let b = store.identity(&user(1, "b")).await.unwrap().unwrap();
    let stale = records(vec![
        put(user(1, "b"), "b2", Some(&b)),
        put(user(1, "a"), "a3", Some(&a)),
    ]);
    let refused = store.change_identities(&stale).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    let shown = [("a", "a2"), ("b", "b1")].map(|(name, text)| (name.into(), text.into()));
    assert_eq!(all(store).await, shown);
}

#[tokio::test]
async fn no_access_key_is_given_twice() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let with_key = |name: &str, key: &str| ChangeIdentities {
        new_keys: vec![(account(1), key.to_owned())],
        ..records(vec![put(user(1, name), "x", None)])
    };
    let of_account = StoredAccount {
        id: account(9),
        name: "tenant".into(),
        email: String::new(),
        canonical_id: "c".into(),
        access_key: "AKIAROOT".into(),
        secret: StoredSecret::Clear("secret".into()),
        created_unix_millis: 1,
    };
    store.create_account(&of_account).await.unwrap();
    store
        .change_identities(&with_key("a", "AKIA1"))
        .await
        .unwrap();
    for taken in ["AKIA1", "AKIAROOT"] {
        let refused = store.change_identities(&with_key("b", taken)).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{taken}");
    }
    let thief = StoredAccount {
        id: account(8),
        access_key: "AKIA1".into(),
        ..of_account
    };
    let refused = store.create_account(&thief).await;
    assert!(matches!(refused, Err(StoreError::AccountExists)));
    let free = ChangeIdentities {
        freed_keys: vec![(account(1), "AKIA1".into())],
        ..ChangeIdentities::default()
    };
    store.change_identities(&free).await.unwrap();
    store.create_account(&thief).await.unwrap();
}

/// Two requests that both see one key and make a second one: what keeps users at two keys.
#[tokio::test]
async fn of_two_changes_of_what_was_seen_only_one_happens() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let create = records(vec![put(user(1, "a"), "one key", None)]);
    store.change_identities(&create).await.unwrap();
    let seen = store.identity(&user(1, "a")).await.unwrap().unwrap();
    let attempts = (0..8).map(|number| {
        let change = ChangeIdentities {
            new_keys: vec![(account(1), format!("AKIA{number}"))],
            ..records(vec![put(user(1, "a"), "two keys", Some(&seen))])
        };
        async move { store.change_identities(&change).await.is_ok() }
    });
    let done = futures_util::future::join_all(attempts).await;
    assert_eq!(done.into_iter().filter(|is_done| *is_done).count(), 1);
    assert_eq!(fixture.count(b'a').await, 1, "one access key is taken");
}

#[tokio::test]
async fn the_last_use_of_a_key_goes_with_it() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let note = Bytes::from_static(b"yesterday");
    let unknown = store.note_key_use(account(1), "AKIA1", &note).await;
    unknown.unwrap();
    assert_eq!(all(store).await, []);
    let make = ChangeIdentities {
        new_keys: vec![(account(1), "AKIA1".into())],
        ..ChangeIdentities::default()
    };
    store.change_identities(&make).await.unwrap();
    store
        .note_key_use(account(1), "AKIA1", &note)
        .await
        .unwrap();
    assert_eq!(all(store).await, [("AKIA1".into(), "yesterday".into())]);
    let free = ChangeIdentities {
        freed_keys: make.new_keys.clone(),
        ..ChangeIdentities::default()
    };
    store.change_identities(&free).await.unwrap();
    store
        .note_key_use(account(1), "AKIA1", &note)
        .await
        .unwrap();
    assert_eq!(all(store).await, []);
}

#[tokio::test]
async fn an_account_with_identities_is_not_removed_and_what_is_too_long_is_refused() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let of_account = StoredAccount {
        id: account(1),
        name: "tenant".into(),
        email: String::new(),
        canonical_id: "c".into(),
        access_key: "AKIA1".into(),
        secret: StoredSecret::Clear("secret".into()),
        created_unix_millis: 1,
    };
    store.create_account(&of_account).await.unwrap();
    let long = "x".repeat(MAX_IDENTITY_BYTES);
    let create = |content: &str| records(vec![put(user(1, "a"), content, None)]);
    let refused = store.change_identities(&create(&format!("{long}x"))).await;
    assert!(matches!(refused, Err(StoreError::MetadataTooLarge { .. })));
    store.change_identities(&create(&long)).await.unwrap();
    let refused = store.remove_account(account(1)).await;
    assert!(matches!(refused, Err(StoreError::AccountHasIdentities)));
    let found = store.identity(&user(1, "a")).await.unwrap().unwrap();
    let gone = ChangeIdentity {
        content: None,
        ..put(user(1, "a"), "", Some(&found))
    };
    store.change_identities(&records(vec![gone])).await.unwrap();
    store.remove_account(account(1)).await.unwrap();
}

#[tokio::test]
async fn more_identities_than_are_read_at_a_time() {
    let fixture = Fixture::new();
    for number in 0..513 {
        let create = records(vec![put(user(3, &format!("u{number:04}")), "x", None)]);
        fixture.store.change_identities(&create).await.unwrap();
    }
    let names = all(&fixture.store).await;
    assert_eq!(names.len(), 513);
    assert!(names.is_sorted());
}

proptest! {
    #[test]
    fn keys_of_identities_survive_the_round_trip(number in 0_u64..1_000_000_000_000, name in "[a-z0-9+=,.@_-]{1,20}", tail: Vec<u8>) {
        let of = IdentityName::new(account(number), IdentityKind::Role, &name);
        let key = keys::identity(&of);
        prop_assert_eq!(keys::parse_identity(&key), Some(of));
        let (from, to) = keys::identities_of(account(number));
        prop_assert!((&from[..]..&to[..]).contains(&key.as_ref()));
        drop(keys::parse_identity(&tail));
    }
}
