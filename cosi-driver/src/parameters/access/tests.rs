use proptest::prelude::*;

use super::*;

fn parse(pairs: &[(&str, &str)]) -> Result<AccessParameters, ProvisionError> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    AccessParameters::parse(&pairs.iter().map(pair).collect())
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    match parse(pairs) {
        Err(ProvisionError::Invalid(message)) => message,
        other => panic!("{pairs:?} gives {other:?}"),
    }
}

#[test]
fn everything_is_read_and_written_again() {
    let read = parse(&[
        ("accessMode", "AppendOnly"),
        ("prefix", "db1/"),
        ("sourceCIDRs", "fd00::/8,10.0.0.0/8"),
        ("rotateEvery", "90d"),
        ("rotateOverlap", "12h"),
        ("secretFormats", "rclone, cnpg,wal-g"),
        ("endpoint", "external"),
    ])
    .unwrap();
    assert_eq!(read.overlap(), Duration::from_hours(12));
    assert_eq!(
        read.secret_formats,
        [
            SecretFormat::Cnpg,
            SecretFormat::Zalando,
            SecretFormat::Rclone
        ]
    );
    let canonical = read.canonical();
    assert_eq!(canonical.get("sourceCIDRs").unwrap(), "10.0.0.0/8,fd00::/8");
    assert_eq!(AccessParameters::parse(&canonical), Ok(read));
}

#[test]
fn the_old_key_never_outlives_the_new_one() {
    let overlap = |pairs: &[_]| parse(pairs).unwrap().overlap();
    assert_eq!(overlap(&[]), Duration::from_hours(24));
    assert_eq!(overlap(&[("rotateEvery", "90d")]), Duration::from_hours(24));
    assert_eq!(overlap(&[("rotateEvery", "2h")]), Duration::from_hours(1));
    let message = refusal(&[("rotateEvery", "2h"), ("rotateOverlap", "2h")]);
    assert!(
        message.contains("shorter than rotateEvery (2h)"),
        "{message}"
    );
}

#[test]
fn wrong_values_are_told_with_what_is_allowed() {
    for key in &ACCESS_CLASS {
        let message = refusal(&[(key.name, "\u{7f}?")]);
        assert!(message.contains(key.name), "{message}");
        assert!(message.contains(key.values), "{message}");
    }
    assert!(refusal(&[("rotateEvery", "5m")]).contains("at least 1h"));
    assert!(refusal(&[("accesMode", "Admin")]).contains("did you mean accessMode?"));
    assert!(refusal(&[("accessMode", "Admin"), ("prefix", "a/")]).contains("whole buckets"));
}

proptest! {
    #[test]
    fn whatever_is_read_is_read_again_from_its_canonical_text(
        parameters in prop::collection::btree_map(
            prop::sample::select(ACCESS_CLASS.iter().map(|key| key.name.to_owned()).collect::<Vec<_>>()),
            prop_oneof![
                "ReadWrite|ReadOnly|WriteOnly|AppendOnly|Admin|internal|external", "[0-9]{1,3}[dhmsw]",
                "10\\.0\\.0\\.0/8|::1|192\\.168\\.0\\.0/16,fd00::/8", "(cosi|aws|cnpg|rclone)(,s3cfg)?", ".*"
            ],
            0..6,
        )
    ) {
        if let Ok(read) = AccessParameters::parse(&parameters) {
            prop_assert_eq!(AccessParameters::parse(&read.canonical()), Ok(read));
        }
    }

    #[test]
    fn nothing_panics(parameters in prop::collection::btree_map(".*", ".*", 0..5)) {
        drop(AccessParameters::parse(&parameters));
    }
}
