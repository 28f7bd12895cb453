//! Dates as HTTP writes them: `Sun, 06 Nov 1994 08:49:37 GMT`.

use http::HeaderValue;
use time::{OffsetDateTime, format_description::well_known};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A time in milliseconds since 1970 as a header value, whole seconds.
pub fn header(unix_millis: u64) -> HeaderValue {
    HeaderValue::try_from(text(unix_millis)).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// The same as text.
pub fn text(unix_millis: u64) -> String {
    let seconds = i64::try_from(unix_millis / 1000).unwrap_or(i64::MAX);
    let when = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let day = DAYS[usize::from(when.weekday().number_days_from_monday())];
    let month = MONTHS[usize::from(u8::from(when.month())) - 1];
    let (hour, minute, second) = when.to_hms();
    format!(
        "{day}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT",
        when.day(),
        when.year()
    )
}

/// Seconds since 1970 of a date in a header; also takes ISO 8601. `None`: no date at all, which
/// HTTP says to ignore.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let http = OffsetDateTime::parse(text, &well_known::Rfc2822);
    let when = http
        .or_else(|_| OffsetDateTime::parse(text, &well_known::Rfc3339))
        .ok()?;
    u64::try_from(when.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip() {
        assert_eq!(header(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse("1994-11-06T08:49:37Z"), Some(784_111_777));
        assert_eq!(header(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        for bad in [
            "",
            "yesterday",
            "Sun, 06 Nov 1894 08:49:37 GMT",
            "Sun, 99 Nov 1994",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
