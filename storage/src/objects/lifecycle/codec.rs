//! The rules of a bucket in bytes: a count (varint), then per rule its length (varint) and a record of its own.

use super::{
    Expiration, FilterForm, Lifecycle, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
};
use crate::{
    objects::record::{Decoder, Encoder, Field, RecordError, put_text, take_text},
    varint,
};

const ID: u64 = 1;
const ENABLED: u64 = 3;
const FORM: u64 = 5;
const PREFIX: u64 = 7;
const TAG: u64 = 9;
const LARGER: u64 = 11;
const SMALLER: u64 = 13;
const DAYS: u64 = 15;
const DATE: u64 = 17;
const MARKERS: u64 = 19;
const NONCURRENT: u64 = 21;
const UPLOADS: u64 = 23;

/// More than a document can hold; what claims more is no document.
const MAX_RULES: u64 = 10_000;

impl Lifecycle {
    /// Its bytes.
    pub(in crate::objects) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.rules.len() as u64);
        for rule in &self.rules {
            let bytes = encode_rule(rule);
            varint::put(&mut out, bytes.len() as u64);
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// What [`Self::encode`] wrote.
    pub(in crate::objects) fn decode(mut bytes: &[u8]) -> Result<Self, RecordError> {
        let count = varint::take(&mut bytes).filter(|count| *count <= MAX_RULES);
        let mut rules = Vec::new();
        for _ in 0..count.ok_or(RecordError::CutOff)? {
            let length = varint::take(&mut bytes).and_then(|length| usize::try_from(length).ok());
            let rule = varint::take_bytes(&mut bytes, length.ok_or(RecordError::CutOff)?);
            rules.push(decode_rule(rule.ok_or(RecordError::CutOff)?)?);
        }
        if bytes.is_empty() {
            Ok(Self { rules })
        } else {
            Err(RecordError::BadBody)
        }
    }
}

fn encode_rule(rule: &LifecycleRule) -> Vec<u8> {
    let mut out = Encoder::new();
    out.bytes(ID, rule.id.as_bytes());
    if rule.is_enabled {
        out.bytes(ENABLED, &[]);
    }
    encode_filter(&rule.filter, &mut out);
    match rule.expiration {
        None => {}
        Some(Expiration::AfterDays(days)) => out.number(DAYS, days.into()),
        Some(Expiration::OnDate(date)) => out.number(DATE, date),
        Some(Expiration::DeleteMarkers(go)) => out.number(MARKERS, go.into()),
    }
    if let Some(noncurrent) = rule.noncurrent {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, noncurrent.days.into());
        varint::put(
            &mut bytes,
            noncurrent.newer_versions.map_or(0, |n| u64::from(n) + 1),
        );
        out.bytes(NONCURRENT, &bytes);
    }
    if let Some(days) = rule.abort_uploads_after_days {
        out.number(UPLOADS, days.into());
    }
    out.finish()
}

fn encode_filter(filter: &LifecycleFilter, out: &mut Encoder) {
    let form = match filter.form {
        FilterForm::Prefix => 0,
        FilterForm::One => 1,
        FilterForm::All => 2,
    };
    out.number(FORM, form);
    if let Some(prefix) = &filter.prefix {
        out.bytes(PREFIX, prefix.as_bytes());
    }
    for (key, value) in &filter.tags {
        let mut bytes = Vec::new();
        put_text(&mut bytes, key);
        put_text(&mut bytes, value);
        out.bytes(TAG, &bytes);
    }
    if let Some(size) = filter.larger_than {
        out.number(LARGER, size);
    }
    if let Some(size) = filter.smaller_than {
        out.number(SMALLER, size);
    }
}

fn decode_rule(bytes: &[u8]) -> Result<LifecycleRule, RecordError> {
    let mut decoder = Decoder::new(bytes)?;
    let mut rule = LifecycleRule::default();
    while let Some(field) = decoder.field()? {
        match field.tag {
            ID => field.text()?.clone_into(&mut rule.id),
            ENABLED => rule.is_enabled = true,
            DAYS => rule.expiration = Some(Expiration::AfterDays(small(&field)?)),
            DATE => rule.expiration = Some(Expiration::OnDate(field.number()?)),
            MARKERS => rule.expiration = Some(Expiration::DeleteMarkers(field.number()? != 0)),
            NONCURRENT => rule.noncurrent = Some(field.whole(take_noncurrent)?),
            UPLOADS => rule.abort_uploads_after_days = Some(small(&field)?),
            _ => decode_filter(&field, &mut rule.filter)?,
        }
    }
    if decoder.rest().is_empty() {
        Ok(rule)
    } else {
        Err(RecordError::BadBody)
    }
}

fn decode_filter(field: &Field<'_>, filter: &mut LifecycleFilter) -> Result<(), RecordError> {
    match field.tag {
        FORM => {
            filter.form = match field.number()? {
                0 => FilterForm::Prefix,
                1 => FilterForm::One,
                2 => FilterForm::All,
                _ => return Err(field.bad()),
            };
        }
        PREFIX => filter.prefix = Some(field.text()?.to_owned()),
        TAG => filter
            .tags
            .push(field.whole(|input| Some((take_text(input)?, take_text(input)?)))?),
        LARGER => filter.larger_than = Some(field.number()?),
        SMALLER => filter.smaller_than = Some(field.number()?),
        _ => field.check_skippable()?,
    }
    Ok(())
}

fn small(field: &Field<'_>) -> Result<u32, RecordError> {
    u32::try_from(field.number()?).map_err(|_| field.bad())
}

fn take_noncurrent(input: &mut &[u8]) -> Option<NoncurrentExpiration> {
    let days = u32::try_from(varint::take(input)?).ok()?;
    let newer_versions = match varint::take(input)? {
        0 => None,
        more => Some(u32::try_from(more - 1).ok()?),
    };
    Some(NoncurrentExpiration {
        days,
        newer_versions,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    prop_compose! {
        fn filter()(
            form in prop_oneof![Just(FilterForm::Prefix), Just(FilterForm::One), Just(FilterForm::All)],
            prefix in option::of("\\PC{0,9}"), tags in vec(("\\PC{1,9}", "\\PC{0,9}"), 0..3),
            larger_than: Option<u64>, smaller_than: Option<u64>,
        ) -> LifecycleFilter {
            LifecycleFilter { form, prefix, tags, larger_than, smaller_than }
        }
    }

    fn expiration() -> impl Strategy<Value = Expiration> {
        prop_oneof![
            any::<u32>().prop_map(Expiration::AfterDays),
            any::<u64>().prop_map(Expiration::OnDate),
            any::<bool>().prop_map(Expiration::DeleteMarkers),
        ]
    }

    prop_compose! {
        fn rule()(
            id in "\\PC{0,20}", is_enabled: bool, filter in filter(), expiration in option::of(expiration()),
            noncurrent in option::of((any::<u32>(), option::of(0..u32::MAX))), abort_uploads_after_days: Option<u32>,
        ) -> LifecycleRule {
            let noncurrent = noncurrent.map(|(days, newer_versions)| NoncurrentExpiration { days, newer_versions });
            LifecycleRule { id, is_enabled, filter, expiration, noncurrent, abort_uploads_after_days }
        }
    }

    proptest! {
        #[test]
        fn rules_survive_the_round_trip(rules in vec(rule(), 0..4)) {
            let lifecycle = Lifecycle { rules };
            prop_assert_eq!(Lifecycle::decode(&lifecycle.encode()), Ok(lifecycle));
        }

        #[test]
        fn cut_and_random_bytes_never_panic(rules in vec(rule(), 0..3), at: prop::sample::Index, bytes: Vec<u8>) {
            let whole = Lifecycle { rules }.encode();
            let cut = &whole[..at.index(whole.len())];
            prop_assert!(Lifecycle::decode(cut).is_err() || cut.is_empty());
            drop(Lifecycle::decode(&bytes));
        }
    }

    #[test]
    fn bytes_of_rules_are_frozen() {
        let rule = LifecycleRule {
            id: "r".to_owned(),
            is_enabled: true,
            filter: LifecycleFilter {
                form: FilterForm::All,
                prefix: Some("p/".to_owned()),
                tags: vec![("k".to_owned(), "v".to_owned())],
                larger_than: Some(1),
                smaller_than: Some(300),
            },
            expiration: Some(Expiration::AfterDays(30)),
            noncurrent: Some(NoncurrentExpiration {
                days: 2,
                newer_versions: Some(4),
            }),
            abort_uploads_after_days: Some(7),
        };
        let mut expected = vec![1, 44, 1];
        expected.extend([1, 1, b'r', 3, 0, 5, 1, 2, 7, 2, b'p', b'/']);
        expected.extend([9, 4, 1, b'k', 1, b'v', 11, 1, 1, 13, 2, 0xac, 2]);
        expected.extend([15, 1, 30, 21, 2, 2, 5, 23, 1, 7, 0]);
        expected[1] = u8::try_from(expected.len() - 2).unwrap();
        assert_eq!(Lifecycle { rules: vec![rule] }.encode(), expected);
    }
}
