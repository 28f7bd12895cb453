use proptest::prelude::*;

use super::*;

fn of(pairs: &[(&str, &str)]) -> Parameters {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

fn parse(pairs: &[(&str, &str)]) -> Result<BucketParameters, ProvisionError> {
    BucketParameters::parse(&of(pairs))
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
        ("quotaBytes", "10Gi"),
        ("quotaObjects", "1000"),
        ("objectLock", "Governance"),
        ("objectLockDays", "30"),
        ("lifecycleExpireDays", "90"),
        ("noncurrentExpireDays", "10"),
        ("abortMultipartDays", "3"),
        ("erasureProfile", "4+2"),
        ("encryption", "aws:kms:backups"),
        ("tags", "team=db, env=prod"),
        ("onDelete", "Trash"),
    ])
    .unwrap();
    assert_eq!(read.quota.bytes, Some(10 << 30));
    assert!(read.versioning);
    assert_eq!(read.on_delete, OnDelete::Trash { days: 7 });
    let canonical = read.canonical();
    assert_eq!(canonical.get("quotaBytes").unwrap(), "10737418240");
    assert_eq!(canonical.get("tags").unwrap(), "env=prod,team=db");
    assert_eq!(canonical.get("trashDays").unwrap(), "7");
    assert_eq!(BucketParameters::parse(&canonical), Ok(read));
}

#[test]
fn defaults_are_the_same_as_nothing() {
    let explicit = parse(&[("versioning", "Disabled"), ("onDelete", "Refuse")]).unwrap();
    assert_eq!(explicit, BucketParameters::default());
    assert!(explicit.canonical().is_empty() && explicit.settings().is_empty());
}

#[test]
fn what_is_set_is_in_the_order_in_which_it_can_be() {
    let read = parse(&[
        ("quotaBytes", "1"),
        ("objectLock", "Compliance"),
        ("objectLockDays", "1"),
    ]);
    let settings = read.unwrap().settings();
    assert!(matches!(
        settings.as_slice(),
        [
            Setting::Versioning,
            Setting::ObjectLock(_),
            Setting::Quota(_)
        ]
    ));
}

#[test]
fn unknown_keys_are_told_with_the_nearest_one() {
    assert_eq!(
        refusal(&[("qotaBytes", "1")]),
        "a BucketClass has no parameter \"qotaBytes\": did you mean quotaBytes?"
    );
    let message = refusal(&[("colour", "red")]);
    assert!(
        message.contains("there are quotaBytes, quotaObjects"),
        "{message}"
    );
}

#[test]
fn wrong_values_are_told_with_what_is_allowed() {
    for key in &BUCKET_CLASS {
        let message = refusal(&[(key.name, "\u{7f}?")]);
        assert!(message.contains(key.name), "{message}");
        assert!(message.contains(key.values), "{message}");
    }
    let long = "x".repeat(5000);
    assert!(refusal(&[("quotaBytes", &long)]).len() < 300);
}

#[test]
fn combinations_have_to_make_sense() {
    for (pairs, word) in [
        (&[("objectLock", "Governance")][..], "objectLockDays"),
        (&[("objectLockDays", "3")], "objectLock"),
        (
            &[
                ("objectLock", "Governance"),
                ("objectLockDays", "3"),
                ("versioning", "Disabled"),
            ],
            "versioning",
        ),
        (&[("noncurrentExpireDays", "3")], "versioning"),
        (&[("trashDays", "3")], "onDelete"),
        (&[("trashDays", "3"), ("onDelete", "Empty")], "onDelete"),
    ] {
        let message = refusal(pairs);
        assert!(message.contains(word), "{message}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_read_again_from_its_canonical_text(
        parameters in prop::collection::btree_map(
            prop::sample::select(BUCKET_CLASS.iter().map(|key| key.name.to_owned()).collect::<Vec<_>>()),
            prop_oneof![
                "[0-9]{1,5}(Ki|Mi|Gi|GB|)", "[0-9]{1,2}\\+[0-9]", "Enabled|Governance|Compliance|Empty|Trash|Refuse",
                "AES256|aws:kms|aws:kms:[a-z]{1,4}", "[a-z]{1,3}=[a-z+=@/ ]{0,3}(,[A-Z]=é)?", ".*"
            ],
            0..5,
        )
    ) {
        if let Ok(read) = BucketParameters::parse(&parameters) {
            prop_assert_eq!(BucketParameters::parse(&read.canonical()), Ok(read));
        }
    }

    #[test]
    fn nothing_panics(parameters in prop::collection::btree_map(".*", ".*", 0..5)) {
        drop(BucketParameters::parse(&parameters));
    }
}
