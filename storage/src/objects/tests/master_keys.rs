//! What master keys are known by.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    clock::Clock,
    objects::{testing::*, *},
    upkeep::{Pace, PaceSettings},
};

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

/// Wraps by putting a name before the data key, which is no secret here.
struct Named {
    to: &'static [u8],
    /// What does not open.
    broken: Option<&'static str>,
}

impl Reseal for Named {
    fn reseal(&self, bucket: &BucketName, key: &ObjectKey, envelope: &[u8]) -> Resealed {
        assert_eq!(bucket.as_str(), "bucket");
        if envelope.starts_with(self.to) {
            return Resealed::Kept;
        }
        if self.broken == Some(key.as_str()) {
            return Resealed::Failed;
        }
        let at = envelope.iter().position(|b| *b == b':').unwrap();
        Resealed::New([self.to, &envelope[at..]].concat())
    }
}

const TO_NEW: Named = Named {
    to: b"new",
    broken: None,
};

/// Envelopes are a name and this.
const OLD: &str = "old:data key";
const NEW: &[u8] = b"new:data key";

fn data_key() -> DataKey {
    DataKey::new(&[7; DATA_KEY_BYTES])
}

impl Fixture {
    async fn put_under(&self, name: &str, body: &[u8], envelope: &str) -> Written {
        let sealing = Sealing::of_object(data_key(), envelope.into());
        let request = PutObject {
            blob: self.sealed_body(body, sealing).await,
            etag: etag(body),
            ..self.request(name, b"").await
        };
        self.store.put_object(request).await.unwrap()
    }

    async fn sealed_body(&self, body: &[u8], sealing: Sealing) -> FinishedBody {
        let (bucket, size) = (bucket("bucket"), Some(body.len() as u64));
        let writer = self.store.sealed_blob_writer(&bucket, size, sealing);
        let mut writer = writer.await.unwrap();
        writer.write(Bytes::copy_from_slice(body)).await.unwrap();
        writer.finish().await.unwrap()
    }

    /// An upload with a part.
    async fn upload_under(&self, name: &str, body: &[u8]) -> UploadId {
        let create = CreateUpload {
            encryption: Some(OLD.into()),
            bucket: bucket("bucket"),
            key: key(name),
            headers: Headers::default(),
            tags: Tags::default(),
            checksum: None,
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        let upload = self.store.create_upload(create).await.unwrap();
        let sealing = Sealing::of_part(data_key(), number(1));
        let part = PutPart {
            bucket: bucket("bucket"),
            key: key(name),
            upload,
            number: number(1),
            blob: self.sealed_body(body, sealing).await,
            etag: etag(body),
            checksum: None,
            default_checksum: None,
        };
        self.store.put_part(part).await.unwrap();
        upload
    }

    async fn envelope_of(&self, name: &str, version: Option<VersionId>) -> Option<Vec<u8>> {
        let (bucket, key) = (bucket("bucket"), key(name));
        let found = self.store.object_version(&bucket, &key, version).await;
        found.unwrap().info().encryption.clone()
    }

    /// Envelope and bytes of an object.
    async fn read_under(&self, name: &str) -> (Option<Vec<u8>>, Vec<u8>) {
        let mut handle = self.handle(name).await.unwrap();
        handle.unlock(data_key());
        let info = handle.info().clone();
        let body = read_all(handle.read(0..info.size).await.unwrap()).await;
        (info.encryption, body.unwrap())
    }

    fn pace(&self) -> Arc<Pace> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Pace::new(
            clock,
            Arc::clone(self.store.load()),
            PaceSettings::default(),
        )
    }

    /// A whole pass; `between` is done before each of its steps.
    async fn reseal(&self, with: &Named, mut between: impl AsyncFnMut(usize)) -> ResealTally {
        let (mut tally, pace) = (ResealTally::default(), self.pace());
        let (mut next, mut steps) = (Some(ResealPlace::default()), 0);
        while let Some(at) = next {
            between(steps).await;
            steps += 1;
            let (done, after) = self.store.reseal_step(&at, with, &pace).await.unwrap();
            tally.add(done);
            next = after;
        }
        tally
    }

    async fn enable_versions(&self) {
        let store = &self.store;
        store
            .set_versioning(&bucket("bucket"), Versioning::Enabled)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn envelopes_change_and_nothing_else_does() {
    let mut fixture = Fixture::with_bucket().await;
    let large = vec![5; 3 * INLINE_MAX];
    fixture.put_under("small", b"abc", OLD).await;
    fixture.put_under("large", &large, OLD).await;
    fixture.put_under("empty", b"", OLD).await;
    fixture.put_under("current", b"x", "new:data key").await;
    fixture.put("plain", b"plain").await.unwrap();
    let extents_before = extents(&fixture.pool);
    let modified = |info: &ObjectInfo| (info.modified_unix_millis, info.etag, info.size);
    let before = modified(fixture.handle("small").await.unwrap().info());
    let tally = fixture.reseal(&TO_NEW, async |_| {}).await;
    assert_eq!((tally.looked_at, tally.resealed, tally.failed), (5, 3, 0));
    assert!(tally.moved_bytes > 0 && tally.moved_bytes < INLINE_MAX as u64);
    assert_eq!(extents(&fixture.pool), extents_before, "no blob moved");
    assert_eq!(
        modified(fixture.handle("small").await.unwrap().info()),
        before
    );
    fixture.restart();
    for (name, body) in [
        ("small", &b"abc"[..]),
        ("large", &large),
        ("empty", b""),
        ("current", b"x"),
    ] {
        assert_eq!(
            fixture.read_under(name).await,
            (Some(NEW.to_vec()), body.to_vec()),
            "{name}"
        );
    }
    assert_eq!(fixture.get("plain").await.unwrap(), b"plain");
    let again = fixture.reseal(&TO_NEW, async |_| {}).await;
    assert_eq!((again.looked_at, again.resealed), (5, 0));
}

#[tokio::test]
async fn versions_and_uploads_have_theirs_changed_too() {
    let fixture = Fixture::with_bucket().await;
    fixture.put_under("k", b"null version", OLD).await;
    fixture.enable_versions().await;
    let first = fixture.put_under("k", b"first", OLD).await.version;
    fixture.put_under("k", b"second", OLD).await;
    let upload = fixture.upload_under("u", b"a part").await;
    let tally = fixture.reseal(&TO_NEW, async |_| {}).await;
    assert_eq!(
        (tally.resealed, tally.failed),
        (4, 0),
        "three versions and an upload"
    );
    let info = fixture
        .store
        .upload(&bucket("bucket"), &key("u"), &upload)
        .await;
    assert_eq!(info.unwrap().encryption.as_deref(), Some(NEW));
    let parts: [(u32, &[u8]); 1] = [(1, b"a part")];
    fixture.complete("u", upload, &parts).await.unwrap();
    assert_eq!(
        fixture.read_under("u").await,
        (Some(NEW.to_vec()), b"a part".to_vec())
    );
    for version in [Some(VersionId::Null), first, None] {
        assert_eq!(
            fixture.envelope_of("k", version).await.as_deref(),
            Some(NEW)
        );
    }
}

/// Whatever is written while a pass goes on, nothing keeps an old envelope at its end: an upload that is completed just before its turn, an object that
/// becomes a version, a copy of what was read.
#[tokio::test]
async fn what_moves_during_a_pass_is_met_again() {
    // The way to the bucket, its uploads, its objects, its versions.
    for at in 0..4 {
        let fixture = Fixture::with_bucket().await;
        for name in ["a", "z"] {
            fixture.put_under(name, b"abc", OLD).await;
        }
        let upload = fixture.upload_under("b", b"a part").await;
        let tally = fixture.reseal(&TO_NEW, async |step| {
            if step == at {
                let parts: [(u32, &[u8]); 1] = [(1, b"a part")];
                fixture.complete("b", upload, &parts).await.unwrap();
                fixture.enable_versions().await;
                fixture.put_under("a", b"newer", "new:data key").await;
            }
        });
        assert_eq!(tally.await.failed, 0);
        for name in ["a", "b", "z"] {
            assert_eq!(
                fixture.read_under(name).await.0.as_deref(),
                Some(NEW),
                "{name}, step {at}"
            );
        }
        let null = fixture.envelope_of("a", Some(VersionId::Null)).await;
        assert_eq!(null.as_deref(), Some(NEW), "step {at}");
    }
}

#[tokio::test]
async fn what_does_not_open_is_counted_and_stays_as_it_is() {
    let fixture = Fixture::with_bucket().await;
    for name in ["a", "b", "c"] {
        fixture.put_under(name, b"abc", OLD).await;
    }
    let broken = Named {
        broken: Some("b"),
        ..TO_NEW
    };
    let tally = fixture.reseal(&broken, async |_| {}).await;
    assert_eq!((tally.resealed, tally.failed), (2, 1));
    assert_eq!(
        fixture.read_under("b").await.0.as_deref(),
        Some(OLD.as_bytes())
    );
    assert_eq!(fixture.reseal(&TO_NEW, async |_| {}).await.resealed, 1);
}

#[tokio::test]
async fn many_pages_of_many_buckets_are_gone_through_and_a_pass_goes_on_where_it_was() {
    let mut fixture = Fixture::with_bucket().await;
    fixture.create("another").await.unwrap();
    fixture.create("zulu").await.unwrap();
    for number in 0..1100 {
        fixture.put_under(&format!("k{number:04}"), b"", OLD).await;
    }
    let (mut place, mut tally) = (Some(ResealPlace::default()), ResealTally::default());
    let mut steps = 0;
    while let Some(at) = place {
        steps += 1;
        let pass = ResealPass {
            target: "new".to_owned(),
            tally,
            place: at,
        };
        let memory = ResealMemory {
            pass: Some(pass),
            ..ResealMemory::default()
        };
        fixture.store.remember_reseal(&memory).await.unwrap();
        fixture.restart();
        let memory = fixture.store.reseal_memory().await.unwrap().unwrap();
        let pass = memory.pass.unwrap();
        let step = fixture
            .store
            .reseal_step(&pass.place, &TO_NEW, &fixture.pace())
            .await;
        let (done, next) = step.unwrap();
        tally = pass.tally;
        tally.add(done);
        place = next;
    }
    assert!(steps > 9, "{steps}");
    assert_eq!(
        (tally.looked_at, tally.resealed, tally.failed),
        (1100, 1100, 0)
    );
    assert_eq!(fixture.reseal(&TO_NEW, async |_| {}).await.resealed, 0);
}

#[tokio::test]
async fn a_secret_of_an_account_takes_another_form_unless_it_is_another_by_now() {
    let fixture = Fixture::new();
    let (store, id) = (&fixture.store, AccountId::from_number(7).unwrap());
    let sealed = |text: &str| StoredSecret::Sealed(text.into());
    let account = StoredAccount {
        id,
        name: "seven".to_owned(),
        email: String::new(),
        canonical_id: "7".repeat(64),
        access_key: "AKIASEVEN".to_owned(),
        secret: sealed("old"),
        created_unix_millis: 1,
    };
    store.create_account(&account).await.unwrap();
    let (old, new) = (sealed("old"), sealed("new"));
    assert!(store.reseal_account(id, &old, &new).await.unwrap());
    assert!(
        !store.reseal_account(id, &old, &new).await.unwrap(),
        "it is another"
    );
    let other = AccountId::from_number(8).unwrap();
    assert!(!store.reseal_account(other, &old, &new).await.unwrap());
    let expected = StoredAccount {
        secret: new,
        ..account
    };
    assert_eq!(store.accounts().await.unwrap(), [expected]);
}
