//! What is sealed opens in its place, and nowhere else.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use proptest::prelude::*;

use super::{kept::FILE_NAME, *};

const LONG: Duration = Duration::from_mins(1);

fn key(id: &str) -> MasterKey {
    let mut bytes = Zeroizing::new([7; KEY_BYTES]);
    bytes[..id.len()].copy_from_slice(id.as_bytes());
    MasterKey::new(Some(id.parse().unwrap()), bytes).unwrap()
}

fn ring(ids: &[&str]) -> Keyring {
    Keyring::new(ids.iter().map(|id| key(id)).collect(), Source::Configured).unwrap()
}

#[test]
fn what_is_sealed_opens_only_in_its_context_and_with_its_key() {
    let ring = ring(&["a"]);
    let sealed = ring.seal(b"user/1", b"secret").unwrap();
    assert_eq!(**ring.open(b"user/1", &sealed).unwrap(), *b"secret");
    let refused = Err(KeyringError::Refused { id: "a".into() });
    assert_eq!(ring.open(b"user/2", &sealed).map(drop), refused);
    let unknown = self::ring(&["b"]).open(b"user/1", &sealed);
    let expected = KeyringError::UnknownKey { id: "a".into() };
    assert_eq!(unknown.unwrap_err(), expected);
    let again = ring.seal(b"user/1", b"secret").unwrap();
    assert_ne!(sealed, again, "no two messages are the same");
}

#[test]
fn older_keys_open_and_the_first_one_seals() {
    let old = ring(&["a"]);
    let sealed = old.seal(b"", b"text").unwrap();
    let new = ring(&["b", "a"]);
    assert_eq!(**new.open(b"", &sealed).unwrap(), *b"text");
    assert!(!new.is_current(&sealed) && old.is_current(&sealed));
    assert!(new.is_current(&new.seal(b"", b"text").unwrap()));
    assert!(old.replace(new.keys(), Source::Configured));
    assert_eq!(old.sealing_id().as_str(), "b");
    assert!(!old.replace(Vec::new(), Source::Configured));
}

#[test]
fn a_key_proves_that_it_is_the_one_of_its_identifier() {
    let ring = ring(&["b", "a"]);
    let (id, proof) = ring.proof().unwrap();
    assert_eq!(id.as_str(), "b");
    ring.check("b", &proof).unwrap();
    let unknown = self::ring(&["a"]).check("b", &proof);
    assert!(matches!(unknown, Err(KeyringError::UnknownKey { .. })));
    let mut other = Zeroizing::new([9; KEY_BYTES]);
    other[0] = 1;
    let other = MasterKey::new(Some("b".parse().unwrap()), other).unwrap();
    let other = Keyring::new(vec![other], Source::Configured).unwrap();
    let refused = other.check("b", &proof);
    assert!(matches!(refused, Err(KeyringError::Refused { .. })));
    assert!(ring.check("a", &proof).is_err());
}

proptest! {
    #[test]
    fn anything_comes_back_and_no_flipped_bit_or_cut_end_does(
        context in proptest::collection::vec(any::<u8>(), 0..40),
        plain in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let ring = ring(&["some-key"]);
        let sealed = ring.seal(&context, &plain).unwrap();
        prop_assert_eq!(&**ring.open(&context, &sealed).unwrap(), &plain);
        let mut flipped = sealed.clone();
        flipped[at.index(sealed.len())] ^= 1 << bit;
        prop_assert!(ring.open(&context, &flipped).is_err());
        prop_assert!(ring.open(&context, &sealed[..at.index(sealed.len())]).is_err());
    }
}

#[test]
fn the_form_of_sealed_messages_is_frozen() {
    let ring = ring(&["frozen"]);
    let sealed = hex::decode(include_str!("tests/sealed.hex").trim()).unwrap();
    assert_eq!(**ring.open(b"context", &sealed).unwrap(), *b"plain text");
}

#[test]
fn keys_are_read_from_lines_with_and_without_identifiers() {
    let text = "# comment\n\n2027: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
        AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\r\n";
    let keys = parse(text).unwrap();
    assert_eq!(keys[0].id().as_str(), "2027");
    assert!(keys[1].id().as_str().starts_with("key-"));
    assert_eq!(parse(&keys[0].line()).unwrap()[0], keys[0]);
    for wrong in [
        "",
        "# nothing",
        "a:short",
        "a b:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\na:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ] {
        let why = parse(wrong).unwrap_err();
        assert!(!why.contains("AAEC") && !why.contains("short"), "{why}");
    }
}

#[test]
fn the_environment_gives_keys_directly_or_by_file_but_not_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, &*key("a").line()).unwrap();
    let path = path.display().to_string();
    let line = key("b").line().to_string();
    let look = |pairs: Vec<(&str, String)>| {
        from_environment(move |name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        })
    };
    assert!(look(vec![]).unwrap().is_empty());
    let direct = ("LARDER_MASTER_KEY", line);
    let by_file = ("LARDER_MASTER_KEY_FILE", path);
    assert_eq!(look(vec![direct.clone()]).unwrap(), [key("b")]);
    assert_eq!(look(vec![by_file.clone()]).unwrap(), [key("a")]);
    let both = look(vec![direct, by_file]);
    assert!(matches!(both, Err(SourceError::SetTwice)));
    let missing = look(vec![("LARDER_MASTER_KEY_FILE", "/none".to_owned())]);
    assert!(matches!(missing, Err(SourceError::Unreadable { .. })));
    let damaged = look(vec![("LARDER_MASTER_KEY", String::new())]);
    assert!(matches!(damaged, Err(SourceError::Malformed { .. })));
}

#[test]
fn made_up_keys_are_kept_privately_on_each_disk() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let paths: Vec<_> = dirs.iter().map(|dir| dir.path().to_owned()).collect();
    assert!(kept(&paths, LONG).unwrap().is_empty());
    let local = make_up().unwrap();
    assert!(local.id().as_str().starts_with("local-"));
    assert_eq!(keep(std::slice::from_ref(&local), &paths, LONG), 2);
    let file = paths[0].join(FILE_NAME);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&file, "damaged").unwrap();
    assert_eq!(kept(&paths, LONG).unwrap(), std::slice::from_ref(&local));
    assert!(kept(&paths[..1], LONG).is_err());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(kept(&paths, LONG).unwrap(), [local]);
}

#[test]
fn no_key_is_in_a_debug_text() {
    let key = key("a");
    let line = key.line();
    let secret = line.trim().split_once(':').unwrap().1.to_owned();
    let ring = Keyring::new(vec![key.clone()], Source::Configured).unwrap();
    let text = format!("{key:?} {ring:?}");
    assert!(
        !text.contains(&secret) && !text.contains("7, 7, 7"),
        "{text}"
    );
}
