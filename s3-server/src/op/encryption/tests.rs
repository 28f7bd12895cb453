//! Envelopes under keys that are replaced.

use std::{fs, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use larder_storage::clock::SystemClock;
use tempfile::TempDir;

use super::*;
use crate::{
    keyring::{MasterKey, Source},
    kms::{Holder, Key, KmsSettings},
};

const KEY: [u8; DATA_KEY_BYTES] = *b"0123456789abcdef0123456789ABCDEF";

struct Fixture {
    bucket: BucketName,
    key: ObjectKey,
    old: MasterKey,
    new: MasterKey,
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse("k").unwrap(),
            old: MasterKey::random("old").unwrap(),
            new: MasterKey::random("new").unwrap(),
            dir: TempDir::new().unwrap(),
        }
    }

    /// Named keys of a file with a line `k` for each of these bytes.
    fn kms(&self, keys: &[u8]) -> Kms {
        let line = |byte: &u8| {
            let mut key = [*byte; 32];
            key[0] = !byte;
            format!("k:{}\n", STANDARD.encode(key))
        };
        let path = self.dir.path().join("keys");
        fs::write(&path, keys.iter().map(line).collect::<String>()).unwrap();
        let settings = KmsSettings {
            keys_file: Some(path),
            ..KmsSettings::default()
        };
        Kms::open(settings, "here", Arc::new(SystemClock)).unwrap()
    }

    fn context(&self) -> Vec<u8> {
        envelope::context(&self.bucket, &self.key)
    }

    fn rewrapped(&self, envelope: &[u8], ring: &Keyring, kms: &Kms) -> Resealed {
        rewrapped((&self.bucket, &self.key), envelope, ring, kms)
    }

    async fn named(&self, name: Option<&str>, ring: &Keyring, kms: &Kms) -> Vec<u8> {
        let key = kms.key(name).unwrap();
        let wrapped = kms.wrap(&key, b"{}", false, ring).await.unwrap();
        let named = Named {
            key,
            is_shared: false,
            context: b"{}",
            wrapped: &wrapped.wrapped,
            sealed: b"sealed by the wrapping key",
        };
        encoded(Mode::Kms, &named.encode().unwrap())
    }
}

fn ring(keys: &[&MasterKey]) -> Keyring {
    let keys = keys.iter().copied().cloned().collect();
    Keyring::new(keys, Source::Configured).unwrap()
}

fn new_of(resealed: Resealed) -> Vec<u8> {
    match resealed {
        Resealed::New(envelope) => envelope,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_envelope_of_an_old_master_key_is_one_of_the_new_for_the_same_data_key() {
    let fixture = Fixture::new();
    let kms = fixture.kms(&[1]);
    let old = ring(&[&fixture.old]);
    let both = ring(&[&fixture.new, &fixture.old]);
    let new = ring(&[&fixture.new]);
    let before = encoded(Mode::Master, &old.seal(&fixture.context(), &KEY).unwrap());
    assert_eq!(fixture.rewrapped(&before, &old, &kms), Resealed::Kept);
    assert_eq!(fixture.rewrapped(&before, &new, &kms), Resealed::Failed);
    let after = new_of(fixture.rewrapped(&before, &both, &kms));
    let envelope = Envelope::parse(&after).unwrap();
    assert_eq!(envelope.mode, Mode::Master);
    let opened = new.open(&fixture.context(), envelope.sealed).unwrap();
    assert_eq!(&opened[..], KEY);
    assert_eq!(fixture.rewrapped(&after, &both, &kms), Resealed::Kept);
    let elsewhere = encoded(Mode::Master, &old.seal(b"another object", &KEY).unwrap());
    assert_eq!(fixture.rewrapped(&elsewhere, &both, &kms), Resealed::Failed);
}

#[test]
fn envelopes_of_clients_keys_stay_and_unknown_ones_fail() {
    let fixture = Fixture::new();
    let kms = fixture.kms(&[1]);
    let new = ring(&[&fixture.new]);
    let customer = encoded(Mode::Customer, b"whatever");
    assert_eq!(fixture.rewrapped(&customer, &new, &kms), Resealed::Kept);
    for unknown in [&b""[..], b"\x01\x09x", b"\x01\x02\x07", b"\x01\x01"] {
        assert_eq!(fixture.rewrapped(unknown, &new, &kms), Resealed::Failed);
    }
}

#[tokio::test]
async fn wrapping_keys_are_wrapped_by_the_newest_version_of_their_key() {
    let fixture = Fixture::new();
    let old = ring(&[&fixture.old]);
    let both = ring(&[&fixture.new, &fixture.old]);
    let new = ring(&[&fixture.new]);
    let kms = fixture.kms(&[1]);
    let managed = fixture.named(None, &old, &kms).await;
    let named = fixture.named(Some("k"), &old, &kms).await;
    assert_eq!(fixture.rewrapped(&named, &both, &kms), Resealed::Kept);
    let kms = fixture.kms(&[2, 1]);
    for (before, holder) in [(managed, Holder::Master), (named, Holder::File)] {
        let after = new_of(fixture.rewrapped(&before, &both, &kms));
        let newest = fixture.kms(&[2]);
        let (envelope, earlier) = (
            Envelope::parse(&after).unwrap(),
            Envelope::parse(&before).unwrap(),
        );
        let (now, then) = (
            Named::parse(envelope.sealed).unwrap(),
            Named::parse(earlier.sealed).unwrap(),
        );
        assert_eq!((now.key.holder, now.sealed), (holder, then.sealed));
        let opened = newest
            .unwrap(&now.key, now.context, (now.wrapped, false), &new)
            .await;
        let was = kms
            .unwrap(&then.key, then.context, (then.wrapped, false), &both)
            .await;
        assert_eq!(opened.unwrap(), was.unwrap());
        assert_eq!(fixture.rewrapped(&after, &both, &kms), Resealed::Kept);
    }
    // What the file has no key for is nobody's fault but the operator's wish; it keeps no master key needed.
    let gone = fixture.named(Some("k"), &old, &fixture.kms(&[3])).await;
    assert_eq!(
        fixture.rewrapped(&gone, &both, &fixture.kms(&[2])),
        Resealed::Kept
    );
    let key = Key {
        holder: Holder::Transit,
        name: "k".to_owned(),
    };
    let transit = Named {
        key,
        is_shared: true,
        context: b"{}",
        wrapped: b"vault:v1:x",
        sealed: b"",
    };
    let transit = encoded(Mode::Kms, &transit.encode().unwrap());
    assert_eq!(fixture.rewrapped(&transit, &both, &kms), Resealed::Kept);
}
