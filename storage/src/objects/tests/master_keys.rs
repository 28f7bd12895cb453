//! What master keys are known by.

use crate::objects::{testing::*, *};

#[tokio::test]
async fn checks_of_master_keys_are_kept_and_never_replaced() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let check = |id: &str, proof: &[u8]| KeyCheck {
        id: id.into(),
        proof: proof.into(),
    };
    assert!(store.key_checks().await.unwrap().is_empty());
    for number in 0..100 {
        let id = format!("key-{number:03}");
        store.keep_key_check(&check(&id, b"proof")).await.unwrap();
    }
    store
        .keep_key_check(&check("key-007", b"other"))
        .await
        .unwrap();
    store.forget_key_check("key-000").await.unwrap();
    store.forget_key_check("unknown").await.unwrap();
    let checks = store.key_checks().await.unwrap();
    assert_eq!(checks.len(), 99);
    assert_eq!(checks[6], check("key-007", b"proof"));
}
