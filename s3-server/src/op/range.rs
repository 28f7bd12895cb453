//! The `Range` header.

use std::ops::Range;

use crate::error::{S3Code, S3Error, S3Result};

/// The bytes that a `Range` header asks of `size`; `None` where the whole object is the answer:
/// another unit, several ranges, or not well-formed.
///
/// # Errors
/// [`S3Code::InvalidRange`] where no byte of the object is asked for.
pub(super) fn parse(value: &str, size: u64) -> S3Result<Option<Range<u64>>> {
    let Some((first, last)) = single(value) else { return Ok(None) };
    let range = match (first, last) {
        (Some(first), None) => first..size,
        (Some(first), Some(last)) => first..size.min(last.saturating_add(1)),
        (None, Some(length)) => size.saturating_sub(length)..size,
        (None, None) => return Ok(None),
    };
    if range.is_empty() { Err(unsatisfiable(value, size)) } else { Ok(Some(range)) }
}

/// The bytes that `x-amz-copy-source-range` asks of `size`: `bytes=first-last`, both there and within.
///
/// # Errors
/// [`S3Code::InvalidArgument`], [`S3Code::InvalidRange`].
pub(super) fn parse_copy_source(value: &str, size: u64) -> S3Result<Range<u64>> {
    let Some((Some(first), Some(last))) = single(value) else {
        let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
        return Err(super::call::invalid_argument("x-amz-copy-source-range", value, message));
    };
    if last >= size {
        return Err(S3Error::with_message(
            S3Code::InvalidArgument,
            format!("Range specified is not valid for source object of size: {size}"),
        ));
    }
    Ok(first..last + 1)
}

/// First and last of a well-formed single range.
fn single(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, ranges) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    match (first, last) {
        (Some(first), Some(last)) if first > last => None,
        both => Some(both),
    }
}

/// Digits, or nothing; a number beyond `u64` is as far away as can be.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

fn unsatisfiable(value: &str, size: u64) -> S3Error {
    S3Error::new(S3Code::InvalidRange)
        .element("RangeRequested", value)
        .element("ActualObjectSize", size.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_clipped_to_the_object() {
        let of = |value| parse(value, 10).unwrap();
        assert_eq!(of("bytes=0-3"), Some(0..4));
        assert_eq!(of("bytes=9-9"), Some(9..10));
        assert_eq!(of("bytes=5-"), Some(5..10));
        assert_eq!(of("bytes=-3"), Some(7..10));
        assert_eq!(of("bytes=-30"), Some(0..10));
        assert_eq!(of("bytes=3-99999999999999999999999"), Some(3..10));
        assert_eq!(of("Bytes = 1 - 2"), Some(1..3));
    }

    #[test]
    fn what_is_no_single_range_gives_the_whole_object() {
        for value in ["bytes=0-1,3-4", "bytes=5-3", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "0-1", ""] {
            assert_eq!(parse(value, 10).unwrap(), None, "{value}");
        }
    }

    #[test]
    fn a_range_outside_of_the_object_is_refused() {
        for (value, size) in [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)] {
            let error = parse(value, size).unwrap_err();
            assert_eq!(error.code(), S3Code::InvalidRange, "{value} of {size}");
        }
    }

    #[test]
    fn a_copy_needs_both_ends_within_the_source() {
        assert_eq!(parse_copy_source("bytes=2-9", 10).unwrap(), 2..10);
        for value in ["bytes=2-10", "bytes=2-", "bytes=-2", "2-3", "bytes=3-2"] {
            assert!(parse_copy_source(value, 10).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_stays_within(value in "bytes=[0-9,\\- ]{0,24}", size in 0_u64..1000) {
            if let Ok(Some(range)) = parse(&value, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
            let _ = parse_copy_source(&value, size);
        }
    }
}
