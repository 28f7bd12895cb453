//! From when and until when a certificate holds: all that is read of its inside here. The rest is the TLS library's.

use time::{Date, Month, Time, UtcDateTime};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which certificates of version 1 lack.
const VERSION: u8 = 0xa0;

/// Both ends count as within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from_unix_seconds: i64,
    pub(super) until_unix_seconds: i64,
}

impl Validity {
    /// That of a certificate in DER; `None` for what is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let mut signed = element(&mut { certificate }, SEQUENCE)?;
        let mut fields = element(&mut signed, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            element(&mut fields, VERSION)?;
        }
        // Serial number, algorithm, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            element(&mut fields, tag)?;
        }
        let mut times = element(&mut fields, SEQUENCE)?;
        Some(Self {
            from_unix_seconds: time(&mut times)?,
            until_unix_seconds: time(&mut times)?,
        })
    }

    /// Why the certificate does not hold `now`, after the moment of which that is said.
    pub(super) fn fault(&self, now_unix_seconds: i64) -> Option<(i64, &'static str)> {
        if now_unix_seconds > self.until_unix_seconds {
            return Some((self.until_unix_seconds, "has expired on"));
        }
        (now_unix_seconds < self.from_unix_seconds)
            .then_some((self.from_unix_seconds, "does not hold before"))
    }
}

/// The content of the next element, if it has this tag.
fn element<'a>(input: &mut &'a [u8], expected: u8) -> Option<&'a [u8]> {
    let (tag, content) = next(input)?;
    (tag == expected).then_some(content)
}

/// Tag and content of the next element.
fn next<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut rest) = input.split_first_chunk()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if !(1..=4).contains(&bytes.len()) {
            return None;
        }
        length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    *input = after;
    Some((tag, content))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, by its tag.
fn time(input: &mut &[u8]) -> Option<i64> {
    let (tag, content) = next(input)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |i: usize| rest.get(2 * i..2 * i + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(1)?).ok()?;
    let time = Time::from_hms(part(2)?, part(3)?, part(4)?).ok()?;
    Some(UtcDateTime::new(date, time).unix_timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(until, 4, 5);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (from, until) in [(1999, 2001), (2020, 2049), (2049, 2050), (2051, 9999)] {
            let found = Validity::of(&certificate(from, until)).unwrap();
            let (start, end) = (date_time_ymd(from, 2, 3), date_time_ymd(until, 4, 5));
            assert_eq!(found.from_unix_seconds, start.unix_timestamp(), "{from}");
            assert_eq!(found.until_unix_seconds, end.unix_timestamp(), "{until}");
        }
    }

    #[test]
    fn both_ends_are_within() {
        let validity = Validity {
            from_unix_seconds: 5,
            until_unix_seconds: 7,
        };
        let faults = [4, 5, 7, 8].map(|now| validity.fault(now).map(|(at, _)| at));
        assert_eq!(faults, [Some(5), None, None, Some(7)]);
    }

    #[test]
    fn a_torn_certificate_has_none() {
        let whole = certificate(2020, 2049);
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0..300usize, byte: u8) {
            let _ = Validity::of(&bytes);
            let mut spoilt = certificate(2020, 2049);
            if let Some(spoil) = spoilt.get_mut(at) {
                *spoil = byte;
            }
            let _ = Validity::of(&spoilt);
        }
    }
}
