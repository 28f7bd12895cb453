//! Dates of conditions: ISO 8601 as the W3C has it, or seconds since 1970.

/// Milliseconds since 1970 of a date as policies write it.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    seconds(text).or_else(|| iso(text))
}

/// Seconds since 1970: at least five digits, since four are a year.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.len() > 4 && digits.bytes().all(|b| b.is_ascii_digit());
    let seconds: i64 = is_number.then(|| text.parse().ok())??;
    seconds.checked_mul(1000)
}

/// `YYYY[-MM[-DD[THH:MM[:SS[.f]](Z|±HH:MM)]]]`.
fn iso(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let days = days(date, time.is_some())?;
    let millis = time.map_or(Some(0), time_millis)?;
    days.checked_mul(86_400_000)?.checked_add(millis)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn days(date: &str, whole: bool) -> Option<i64> {
    let mut pieces = date.split('-');
    let year = number(pieces.next()?, 4)?;
    let (month, day) = (pieces.next(), pieces.next());
    if pieces.next().is_some() || whole && day.is_none() {
        return None;
    }
    let month = month.map_or(Some(1), |text| number(text, 2))?;
    let day = day.map_or(Some(1), |text| number(text, 2))?;
    let is_date = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    is_date.then(|| days_since_1970(year, month, day))
}

fn month_days(year: i64, month: i64) -> i64 {
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

fn time_millis(time: &str) -> Option<i64> {
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut pieces = clock.split(':');
    let hour = number(pieces.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(pieces.next()?, 2).filter(|minute| *minute < 60)?;
    let second = pieces.next().map_or(Some(0), |text| number(text, 2))?;
    if pieces.next().is_some() || second > 60 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second - offset_seconds(zone)?;
    Some(seconds * 1000 + fraction_millis(fraction)?)
}

fn fraction_millis(fraction: &str) -> Option<i64> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    let three: String = fraction.chars().chain("000".chars()).take(3).collect();
    is_number.then(|| three.parse().ok())?
}

fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The date as `aws:CurrentTime` shows it.
pub(crate) fn write(unix_millis: i64, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    let (days, millis) = (
        unix_millis.div_euclid(86_400_000),
        unix_millis.rem_euclid(86_400_000),
    );
    let (year, month, day) = date_of(days);
    let seconds = millis / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
    )
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-08-16T12:00:00Z", 1_376_654_400),
            ("2013-08-16T14:00:00+02:00", 1_376_654_400),
            ("2013-08-16T06:30:00-05:30", 1_376_654_400),
            ("2013-08-16T12:00Z", 1_376_654_400),
            ("2000-02-29", 951_782_400),
            ("2000-02", 949_363_200),
            ("2000", 946_684_800),
            ("1376654400", 1_376_654_400),
            ("-10000", -10_000),
        ] {
            assert_eq!(parse(text), Some(seconds * 1000), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.25Z"), Some(250));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "x",
            "12",
            "2013-13-01",
            "2013-02-29",
            "2013-08-16T25:00:00Z",
            "2013-08-16T12:00:00",
            "2013-08T12:00:00Z",
            "2013-08-16T12:00:00+2",
            "99999999999999999999",
            "2013-08-16T12:00:00.Z",
            "+2013",
            "2013-08-16-01",
            "9223372036854775807",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in -62_135_596_800_i64..253_402_300_800) {
            let mut text = String::new();
            write(seconds * 1000, &mut text).expect("a string takes all");
            prop_assert_eq!(parse(&text), Some(seconds * 1000), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = parse(&text);
        }
    }
}
