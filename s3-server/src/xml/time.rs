//! Times as S3's XML writes them.

/// Milliseconds since 1970 as `2009-10-12T17:50:30.000Z`. Times before 1970 become 1970.
pub fn iso8601(unix_ms: i64) -> String {
    let mut out = String::with_capacity(24);
    push_iso8601(&mut out, unix_ms);
    out
}

pub(super) fn push_iso8601(out: &mut String, unix_ms: i64) {
    let ms = unix_ms.max(0);
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (seconds, ms) = (ms_of_day / 1000, ms_of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fields = [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (hour, 2, ':'),
        (minute, 2, ':'),
        (second, 2, '.'),
        (ms, 3, 'Z'),
    ];
    for (number, digits, end) in fields {
        push_digits(out, number, digits);
        out.push(end);
    }
}

/// By hand, because a listing writes a thousand times and the formatting machinery costs more than
/// everything else in an entry.
fn push_digits(out: &mut String, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
    }
}

/// The date of a day counted from 1970, with years that start in March so that the leap day is the
/// last one.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_milliseconds() {
        assert_eq!(iso8601(1_255_369_830_007), "2009-10-12T17:50:30.007Z");
        assert_eq!(iso8601(-5), "1970-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn agrees_with_the_time_crate(seconds in 0_i64..253_402_300_799) {
            let date = OffsetDateTime::from_unix_timestamp(seconds).expect("in range");
            let expected = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
                date.year(), u8::from(date.month()), date.day(),
                date.hour(), date.minute(), date.second()
            );
            prop_assert_eq!(iso8601(seconds * 1000), expected);
        }
    }
}
