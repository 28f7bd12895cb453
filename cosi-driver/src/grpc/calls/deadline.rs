//! How long whoever calls is going to wait: the header `grpc-timeout`.

use std::time::Duration;

use tonic::metadata::MetadataMap;

const HEADER: &str = "grpc-timeout";

/// The time of a call: `limit`, or a little less than the caller waits, so that it gets an answer that says why.
pub(super) fn time_for(metadata: &MetadataMap, limit: Duration) -> Duration {
    let header = metadata.get(HEADER);
    let asked = header.and_then(|value| parse(value.to_str().ok()?));
    asked.map_or(limit, |asked| limit.min(asked / 10 * 9))
}

/// Up to eight digits and a unit, as the protocol of gRPC has it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(header: &str) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, header.parse().unwrap());
        time_for(&metadata, Duration::from_secs(45))
    }

    #[test]
    fn a_caller_that_waits_less_gets_its_answer_in_time() {
        assert_eq!(time("10S"), Duration::from_secs(9));
        assert_eq!(time("100m"), Duration::from_millis(90));
        assert_eq!(time("99999999H"), Duration::from_secs(45));
        assert_eq!(
            time_for(&MetadataMap::new(), Duration::from_secs(45)).as_secs(),
            45
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for odd in ["S", "1", "123456789S", "1s", "-1S", "", "1.5S", "+1S"] {
            assert_eq!(time(odd), Duration::from_secs(45), "{odd}");
        }
    }
}
