//! Sizes and times as people type them: `4KiB`, `16MiB`, `1MB`, `5s`, `500ms`.

use std::{fmt, str::FromStr, time::Duration};

/// A number of bytes, written with a binary (`KiB`) or decimal (`KB`) unit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

impl TryFrom<String> for ByteSize {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

/// A size or time that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text does not begin with a number.
    #[error("'{0}' does not begin with a whole number")]
    NoNumber(String),
    /// The unit after the number is unknown.
    #[error("unknown unit '{unit}', expected one of {expected}")]
    UnknownUnit {
        /// What was found after the number.
        unit: String,
        /// The units that would have been understood.
        expected: &'static str,
    },
    /// The value does not fit.
    #[error("'{0}' is too large")]
    TooLarge(String),
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Binary units, largest first, for display.
const DISPLAY_UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split_number(text)?;
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, factor) = factor.ok_or_else(|| UnitError::UnknownUnit {
            unit: unit.to_owned(),
            expected: "B, KiB, MiB, GiB, TiB, KB, MB, GB",
        })?;
        number
            .checked_mul(*factor)
            .map(Self)
            .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides the size, so that what is shown can be typed again.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = DISPLAY_UNITS
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let text = match unit {
            Some((name, factor)) => format!("{}{name}", self.0 / factor),
            None => format!("{}B", self.0),
        };
        formatter.pad(&text)
    }
}

/// Reads a time such as `5s`, `500ms`, `2m`; a bare number means seconds.
///
/// # Errors
/// [`UnitError`] when there is no number, the unit is unknown or the value does not fit.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split_number(text)?;
    let factor_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => {
            return Err(UnitError::UnknownUnit {
                unit: unit.to_owned(),
                expected: "ms, s, m",
            });
        }
    };
    let millis = number.checked_mul(factor_ms);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

fn split_number(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(UnitError::NoNumber(text.to_owned()));
    }
    let number = digits
        .parse()
        .map_err(|_| UnitError::TooLarge(text.to_owned()))?;
    Ok((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("4KiB", 4_096),
            ("4kib", 4_096),
            ("16 MiB", 16 << 20),
            ("5GB", 5_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        assert_eq!(
            "KiB".parse::<ByteSize>(),
            Err(UnitError::NoNumber("KiB".into()))
        );
        assert!(matches!(
            "4XB".parse::<ByteSize>(),
            Err(UnitError::UnknownUnit { .. })
        ));
        assert!(matches!(
            "-1".parse::<ByteSize>(),
            Err(UnitError::NoNumber(_))
        ));
        assert!(matches!(
            "99999999999TiB".parse::<ByteSize>(),
            Err(UnitError::TooLarge(_))
        ));
        assert!(matches!(
            "99999999999999999999".parse::<ByteSize>(),
            Err(UnitError::TooLarge(_))
        ));
    }

    #[test]
    fn reads_times() {
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_mins(2)));
        assert!(parse_duration("2h").is_err());
        assert!(parse_duration("s").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_typed_again(bytes: u64) {
            let size = ByteSize(bytes);
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }

        #[test]
        fn no_text_panics(text: String) {
            drop(text.parse::<ByteSize>());
            drop(parse_duration(&text));
        }
    }
}
