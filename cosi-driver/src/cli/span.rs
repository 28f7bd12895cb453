//! Times on the command line: `500ms`, `45s`, `5m`, `2h`, `7d`.

use std::time::Duration;

/// What `text` says.
///
/// # Errors
/// How to write it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => 0,
    };
    let count: Option<u64> = count.parse().ok();
    let total = count.and_then(|count| count.checked_mul(millis));
    match total {
        Some(total) if millis > 0 => Ok(Duration::from_millis(total)),
        _ => Err(format!(
            "`{text}` is no time: write a number and ms, s, m, h or d, such as 45s"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("45s"), Ok(Duration::from_secs(45)));
        assert_eq!(parse("7d"), Ok(Duration::from_hours(7 * 24)));
        for odd in [
            "",
            "5",
            "s",
            "-1s",
            "5 s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse(odd).is_err(), "{odd}");
        }
    }
}
