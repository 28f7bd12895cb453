//! The two date formats of `SigV4`: `yyyyMMdd'T'HHmmss'Z'` and the HTTP date.

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// A request's time: the text that is signed and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    text: [u8; 16],
    unix_seconds: i64,
}

impl Timestamp {
    /// Parses `20130524T000000Z`.
    pub fn parse_iso(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let (year, month, day) = (
            number(&bytes[..4])?,
            number(&bytes[4..6])?,
            number(&bytes[6..8])?,
        );
        let (hour, minute, second) = (
            number(&bytes[9..11])?,
            number(&bytes[11..13])?,
            number(&bytes[13..15])?,
        );
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = hour * 3600 + minute * 60 + second;
        Some(Self {
            text: bytes,
            unix_seconds: days_from_civil(year, month, day) * 86_400 + seconds,
        })
    }

    /// Parses an HTTP date such as `Fri, 24 May 2013 00:00:00 GMT`, or the ISO form.
    pub fn parse_date_header(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(iso) = Self::parse_iso(text) {
            return Some(iso);
        }
        let date = OffsetDateTime::parse(text, &Rfc2822).ok()?.to_utc();
        let (time, year) = (date.time(), date.year());
        Self::parse_iso(&format!(
            "{year:04}{:02}{:02}T{:02}{:02}{:02}Z",
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        ))
    }

    /// Seconds since 1970.
    pub fn unix_seconds(&self) -> i64 {
        self.unix_seconds
    }

    /// The 16 characters that are signed.
    pub fn as_str(&self) -> &str {
        // Only digits, `T` and `Z` get past the parser.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The first eight characters.
    pub fn date(&self) -> &str {
        self.as_str().get(..8).unwrap_or_default()
    }
}

/// Formats seconds since 1970 as RFC 3339, for error elements.
pub(super) fn rfc3339(unix_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .ok()
        .and_then(|t| t.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |n, d| {
        d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0'))
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => 31,
    }
}

/// Days since 1970 of a date in the Gregorian calendar, with years that start in March so that the
/// leap day is the last one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_both_formats_to_the_same_time() {
        let iso = Timestamp::parse_iso("20130524T000000Z").expect("iso");
        assert_eq!(iso.unix_seconds(), 1_369_353_600);
        assert_eq!(iso.date(), "20130524");
        let http = Timestamp::parse_date_header("Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(http, Some(iso));
    }

    #[test]
    fn refuses_impossible_dates() {
        for text in [
            "",
            "20130524T000000",
            "20131324T000000Z",
            "20130230T000000Z",
            "20130524t000000Z",
            "20130524T240000Z",
            "2013052XT000000Z",
            "2013-05-24T00:00Z",
        ] {
            assert_eq!(Timestamp::parse_iso(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_time_crate(seconds in 0_i64..253_402_300_799) {
            let date = OffsetDateTime::from_unix_timestamp(seconds).expect("in range");
            let text = format!(
                "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
                date.year(), u8::from(date.month()), date.day(),
                date.hour(), date.minute(), date.second()
            );
            let parsed = Timestamp::parse_iso(&text).expect("valid");
            prop_assert_eq!(parsed.unix_seconds(), seconds);
            prop_assert_eq!(parsed.as_str(), text);
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = (Timestamp::parse_iso(&text), Timestamp::parse_date_header(&text));
        }
    }
}
