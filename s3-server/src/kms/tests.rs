//! Named keys of a file, and of nobody; the transit engine is tested against a real one in `tests/s3-compat/test_encryption_kms.py`.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use larder_storage::clock::SystemClock;
use tempfile::TempDir;

use super::*;
use crate::error::{S3Code, S3Error};

fn line(name: &str, byte: u8) -> String {
    let mut key = [byte; 32];
    key[0] = !byte;
    format!("{name}:{}\n", STANDARD.encode(key))
}

fn settings(file: &Path) -> KmsSettings {
    KmsSettings {
        keys_file: Some(file.to_owned()),
        ..KmsSettings::default()
    }
}

fn open(settings: KmsSettings) -> Result<Kms, KmsSetupError> {
    Kms::open(settings, "here", Arc::new(SystemClock))
}

struct Fixture {
    dir: TempDir,
    ring: Keyring,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            ring: Keyring::made_up().unwrap(),
        }
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("keys");
        fs::write(&path, text).unwrap();
        path
    }

    fn kms(&self, text: &str) -> Kms {
        open(settings(&self.file(text))).unwrap()
    }
}

fn code(error: KmsError) -> S3Code {
    S3Error::from(error).code()
}

#[tokio::test]
async fn keys_rotate_and_open_what_earlier_ones_sealed() {
    let fixture = Fixture::new();
    let kms = fixture.kms(&line("k", 1));
    let key = kms.key(Some("alias/k")).unwrap();
    assert_eq!((key.holder, &*key.name), (Holder::File, "k"));
    let wrapped = kms.wrap(&key, b"{}", false, &fixture.ring).await.unwrap();
    let sealed = (&wrapped.wrapped[..], false);
    fixture.file(&(line("k", 2) + &line("k", 1)));
    kms.read_again();
    let opened = kms.unwrap(&key, b"{}", sealed, &fixture.ring).await;
    assert_eq!(opened.unwrap(), wrapped.key);
    let newer = kms.wrap(&key, b"{}", false, &fixture.ring).await.unwrap();
    fixture.file(&line("k", 2));
    kms.read_again();
    let opened = kms.unwrap(&key, b"{}", sealed, &fixture.ring).await;
    assert_eq!(code(opened.unwrap_err()), S3Code::KmsNotFound);
    let opened = kms
        .unwrap(&key, b"{}", (&newer.wrapped, false), &fixture.ring)
        .await;
    assert_eq!(opened.unwrap(), newer.key, "the first of its lines seals");
}

#[tokio::test]
async fn what_is_wrapped_opens_in_its_context_and_under_its_name_alone() {
    let fixture = Fixture::new();
    let same = line("k", 1) + &line("l", 1);
    let kms = fixture.kms(&same);
    let managed = kms.key(None).unwrap();
    assert_eq!(managed.holder, Holder::Master);
    for key in [managed, kms.key(Some("k")).unwrap()] {
        let Wrapped {
            key: plain,
            wrapped,
        } = kms.wrap(&key, b"{}", true, &fixture.ring).await.unwrap();
        let sealed = (&wrapped[..], true);
        assert_eq!(
            kms.unwrap(&key, b"{}", sealed, &fixture.ring)
                .await
                .unwrap(),
            plain
        );
        assert!(
            kms.unwrap(&key, b"[]", sealed, &fixture.ring)
                .await
                .is_err()
        );
        let other = Key {
            name: "l".to_owned(),
            ..key.clone()
        };
        assert!(
            kms.unwrap(&other, b"{}", sealed, &fixture.ring)
                .await
                .is_err()
        );
        assert!(
            kms.unwrap(&key, b"{}", (&wrapped[1..], true), &fixture.ring)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn keys_that_are_not_there_or_disabled_have_their_codes() {
    let fixture = Fixture::new();
    let kms =
        fixture.kms(&(line("k", 1) + "off:disabled\n" + &line("late", 3) + "late:disabled\n"));
    assert_eq!(
        code(kms.key(Some("none")).unwrap_err()),
        S3Code::KmsNotFound
    );
    assert_eq!(code(kms.key(Some("a b")).unwrap_err()), S3Code::KmsNotFound);
    for name in ["off", "late"] {
        let key = kms.key(Some(name)).unwrap();
        let refused = kms.wrap(&key, b"{}", false, &fixture.ring).await;
        assert_eq!(code(refused.err().unwrap()), S3Code::KmsDisabled);
    }
    let elsewhere = Key {
        holder: Holder::Transit,
        name: "k".to_owned(),
    };
    let refused = kms
        .unwrap(&elsewhere, b"{}", (b"", false), &fixture.ring)
        .await;
    assert_eq!(code(refused.unwrap_err()), S3Code::KmsNotFound);
}

#[test]
fn the_default_is_a_key_that_is_there() {
    let fixture = Fixture::new();
    let with = |name: &str| {
        open(KmsSettings {
            default_key: Some(name.to_owned()),
            ..settings(&fixture.file(&line("k", 1)))
        })
    };
    let kms = with("k").unwrap();
    assert_eq!(kms.key(None).unwrap(), kms.key(Some("k")).unwrap());
    assert_eq!(kms.key(Some("alias/aws/s3")).unwrap().name, "k");
    assert!(matches!(with("l"), Err(KmsSetupError::NoDefault(_))));
    assert!(matches!(with("l m"), Err(KmsSetupError::DefaultName(_))));
}

#[test]
fn a_file_that_is_none_is_refused_and_never_shown() {
    let fixture = Fixture::new();
    let key = line("k", 1);
    for (text, why) in [
        ("noname\n".to_owned(), "line 1: a line is name:key"),
        ("a b:x\n".to_owned(), "line 1: a name has"),
        ("# x\n\nk:secret\n".to_owned(), "line 3: a key is 32 bytes"),
        (key.clone() + &key, "line 2: this key is there twice"),
    ] {
        let error = open(settings(&fixture.file(&text)))
            .unwrap_err()
            .to_string();
        assert!(error.contains(why) && !error.contains("secret"), "{error}");
    }
    assert!(open(settings(&fixture.dir.path().join("none"))).is_err());
    let kms = fixture.kms(&key);
    fixture.file("nonsense");
    kms.read_again();
    assert!(kms.key(Some("k")).is_ok(), "what was read before stays");
    let shown = format!("{kms:?}");
    assert!(!shown.contains(&key[2..20]), "{shown}");
}

#[test]
fn a_token_is_in_no_debug_text_and_a_file_without_one_is_refused() {
    let fixture = Fixture::new();
    let transit = |token: &str| TransitSettings {
        url: "https://vault.example".parse().unwrap(),
        mount: "transit".to_owned(),
        namespace: None,
        token_file: fixture.file(token),
        ca_file: None,
        timeout: Duration::from_secs(1),
    };
    let with = |token: &str| {
        open(KmsSettings {
            transit: Some(transit(token)),
            ..KmsSettings::default()
        })
    };
    let kms = with("hvs.t0ken\n").unwrap();
    assert_eq!(kms.key(Some("any")).unwrap().holder, Holder::Transit);
    let shown = format!("{kms:?} {:?}", kms.transit);
    assert!(!shown.contains("t0ken"), "{shown}");
    for bad in ["", " \n", "a\nb"] {
        let error = with(bad).unwrap_err().to_string();
        assert!(error.contains("it holds no token"), "{error}");
    }
}
