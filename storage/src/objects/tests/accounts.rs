//! Accounts that are kept on the disks, and whose buckets are.

use crate::objects::{testing::*, *};

fn account(number: u64, access_key: &str) -> StoredAccount {
    StoredAccount {
        id: AccountId::from_number(number).unwrap(),
        name: format!("tenant {number}"),
        email: "tenant@example.com".into(),
        canonical_id: format!("{number:064x}"),
        access_key: access_key.into(),
        secret: sealed(&format!("secret of {access_key}")),
        created_unix_millis: number,
    }
}

fn sealed(text: &str) -> StoredSecret {
    StoredSecret::Sealed(text.as_bytes().to_vec())
}

async fn create_for(fixture: &Fixture, name: &str, owner: &StoredAccount) {
    let request = CreateBucket {
        owner: owner.id,
        ..CreateBucket::new(bucket(name))
    };
    fixture.store.create_bucket(request).await.unwrap();
}

#[tokio::test]
async fn accounts_are_kept_and_neither_ids_nor_access_keys_twice() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (a, b) = (account(1, "AAA"), account(2, "BBB"));
    store.create_account(&b).await.unwrap();
    store.create_account(&a).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), [a.clone(), b.clone()]);
    for taken in [account(1, "CCC"), account(3, "AAA")] {
        let refused = store.create_account(&taken).await;
        assert!(matches!(refused, Err(StoreError::AccountExists)));
    }
    let refused = store
        .rotate_account_key(a.id, "BBB", &sealed("stolen"))
        .await;
    assert!(matches!(refused, Err(StoreError::AccountExists)));
    let none = store
        .rotate_account_key(account(9, "").id, "DDD", &sealed("x"))
        .await;
    assert!(matches!(none, Err(StoreError::NoSuchAccount)));
    store
        .rotate_account_key(a.id, "AA2", &sealed("new secret"))
        .await
        .unwrap();
    let rotated = StoredAccount {
        access_key: "AA2".into(),
        secret: sealed("new secret"),
        ..a
    };
    assert_eq!(store.accounts().await.unwrap(), [rotated, b]);
    // The old key is free again.
    store.create_account(&account(4, "AAA")).await.unwrap();
    assert_eq!(store.accounts().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_secret_that_was_kept_in_the_clear_is_read_until_it_is_replaced() {
    let fixture = Fixture::new();
    let old = StoredAccount {
        secret: StoredSecret::Clear("as it is".into()),
        ..account(1, "AAA")
    };
    fixture.store.create_account(&old).await.unwrap();
    assert_eq!(
        fixture.store.accounts().await.unwrap(),
        std::slice::from_ref(&old)
    );
    let new = sealed("new");
    let rotated = fixture.store.rotate_account_key(old.id, "BBB", &new);
    rotated.await.unwrap();
    let found = fixture.store.accounts().await.unwrap();
    assert_eq!(found[0].secret, sealed("new"));
    assert!(!format!("{old:?} {:?}", old.secret).contains("as it is"));
}

#[tokio::test]
async fn more_accounts_than_are_read_at_a_time() {
    let fixture = Fixture::new();
    for number in 1..=513 {
        let account = account(number, &format!("KEY{number}"));
        fixture.store.create_account(&account).await.unwrap();
    }
    let found = fixture.store.accounts().await.unwrap();
    let numbers: Vec<_> = found.iter().map(|account| account.id.number()).collect();
    assert_eq!(numbers, (1..=513).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_account_with_buckets_is_not_removed() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let a = account(7, "AAA");
    store.create_account(&a).await.unwrap();
    create_for(&fixture, "of-a", &a).await;
    let refused = store.remove_account(a.id).await;
    assert!(matches!(refused, Err(StoreError::AccountNotEmpty)));
    store.delete_bucket(&bucket("of-a")).await.unwrap();
    store.remove_account(a.id).await.unwrap();
    assert_eq!(store.accounts().await.unwrap(), []);
    let gone = store.remove_account(a.id).await;
    assert!(matches!(gone, Err(StoreError::NoSuchAccount)));
    store.create_account(&a).await.unwrap();
}

#[tokio::test]
async fn buckets_are_listed_by_owner_and_page() {
    let fixture = Fixture::new();
    let owners = [account(0, "AAA"), account(5, "BBB")];
    for number in 0..1500 {
        let name = format!("bucket-{number:04}");
        create_for(&fixture, &name, &owners[usize::from(number % 500 == 499)]).await;
    }
    let list = async |owner, after, limit| {
        let found = fixture.store.list_buckets(owner, "", after, limit).await;
        let names = found
            .unwrap()
            .into_iter()
            .map(|found| found.name.to_string());
        names.collect::<Vec<_>>()
    };
    let of_second = Some(owners[1].id);
    let all = ["bucket-0499", "bucket-0999", "bucket-1499"];
    assert_eq!(list(of_second, None, 9).await, all);
    assert_eq!(list(of_second, None, 2).await, all[..2]);
    assert_eq!(list(of_second, Some("bucket-0499"), 9).await, all[1..]);
    assert_eq!(list(Some(owners[0].id), None, 9999).await.len(), 1497);
    assert_eq!(list(None, None, 9999).await.len(), 1500);
    let owner = fixture.store.bucket_owner(&bucket("bucket-0999")).await;
    assert_eq!(owner.unwrap(), owners[1].id);
}
