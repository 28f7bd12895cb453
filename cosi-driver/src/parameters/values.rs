//! Values of parameters: sizes, times, networks, tags.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

const MAX_DAYS: u32 = 36_500;

/// A number of bytes, with a suffix of powers of 1024 (`Ki`, `KiB`) or 1000 (`k`, `kB`).
pub(super) fn size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit());
    let (digits, suffix) = text.split_at(at.unwrap_or(text.len()));
    let count: u64 = digits.parse().ok()?;
    let bytes = count.checked_mul(unit(suffix.trim_start())?)?;
    (bytes > 0).then_some(bytes)
}

fn unit(suffix: &str) -> Option<u64> {
    let suffix = suffix.strip_suffix('B').unwrap_or(suffix);
    let (letter, base) = match suffix.strip_suffix('i') {
        Some(letter) => (letter, 1024_u64),
        None => (suffix, 1000),
    };
    let power = match letter {
        "" if base == 1000 => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        _ => return None,
    };
    base.checked_pow(power)
}

/// A number, at least 1.
pub(super) fn count(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let count = text.parse().ok()?;
    (is_number && count > 0).then_some(count)
}

/// A number of days that S3 takes.
pub(super) fn days(text: &str) -> Option<u32> {
    let days = u32::try_from(count(text)?).ok()?;
    (days <= MAX_DAYS).then_some(days)
}

const UNITS: [(char, u64); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];

/// A number with a unit: `d`, `h`, `m`, `s`; `w` as well.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (at, unit) = text.char_indices().next_back()?;
    let number = count(text.get(..at)?)?;
    let seconds = match unit {
        'w' => 7 * 86400,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// In the largest unit that it is a whole number of.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut units = UNITS.into_iter();
    let (unit, size) = units
        .find(|(_, size)| seconds.is_multiple_of(*size))
        .unwrap_or(('s', 1));
    format!("{}{unit}", seconds / size)
}

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most && is_network(address, bits)).then_some(Self { address, bits })
    }
}

/// Whether all bits that a network does not fix are zero.
fn is_network(address: IpAddr, bits: u8) -> bool {
    let number = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    number.checked_shl(u32::from(bits)).unwrap_or_default() == 0
}

/// Networks, each once and in order.
pub(super) fn cidrs(text: &str) -> Option<Vec<Cidr>> {
    const MOST: usize = 20;
    let all = text.split(',').map(|part| Cidr::parse(part.trim()));
    let mut all: Vec<_> = all.collect::<Option<_>>()?;
    all.sort_unstable();
    all.dedup();
    (all.len() <= MOST).then_some(all)
}

/// Tags that S3 takes and that are not the driver's own.
pub(super) fn tags(text: &str) -> Option<BTreeMap<String, String>> {
    const MOST: usize = 20;
    let mut found = BTreeMap::new();
    for part in text.split(',') {
        let (key, value) = part.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        let is_good = is_tag(key, 128) && !key.is_empty() && is_tag(value, 256);
        if !is_good || is_reserved(key) || found.insert(key.to_owned(), value.to_owned()).is_some()
        {
            return None;
        }
    }
    (found.len() <= MOST).then_some(found)
}

fn is_tag(text: &str, most: usize) -> bool {
    let may_be = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    text.chars().count() <= most && text.chars().all(may_be)
}

fn is_reserved(key: &str) -> bool {
    let key = key.to_lowercase();
    key.starts_with("aws:") || key.starts_with("cosi.larder.dev/")
}

pub(super) fn tags_text(tags: &BTreeMap<String, String>) -> String {
    let pair = |(key, value): (&String, &String)| format!("{key}={value}");
    tags.iter().map(pair).collect::<Vec<_>>().join(",")
}

/// The beginning of keys. What has a meaning in policies can't be in it.
pub(super) fn prefix(text: &str) -> Option<String> {
    const MAX_BYTES: usize = 512;
    let is_good = |c: char| !c.is_control() && !"*?$".contains(c);
    let is_prefix = !text.is_empty()
        && text.len() <= MAX_BYTES
        && !text.starts_with('/')
        && text.chars().all(is_good);
    is_prefix.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("1", 1),
            ("1024", 1024),
            ("1k", 1000),
            ("1kB", 1000),
            ("1 KB", 1000),
            ("2Ki", 2048),
            ("2KiB", 2048),
            ("3Gi", 3 << 30),
            ("10GB", 10_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "", "0", "-1", "+1", "1.5Gi", "Gi", "1i", "1iB", "1gi", "1BB", "99Ei", "1Q",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90d"), Some(Duration::from_hours(90 * 24)));
        assert_eq!(duration("2w"), duration("14d"));
        for text in [
            "",
            "d",
            "1",
            "0h",
            "1y",
            "1.5h",
            "+1h",
            "99999999999999999w",
            "1é",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["90d", "36h", "5m", "61s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn networks_have_no_bits_too_many() {
        let text = |text| {
            let all = cidrs(text)?;
            Some(
                all.iter()
                    .map(Cidr::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
            )
        };
        assert_eq!(
            text("10.0.0.0/8, 10.0.0.0/8,::1"),
            Some("10.0.0.0/8,::1/128".to_owned())
        );
        assert_eq!(text("0.0.0.0/0,::/0"), Some("0.0.0.0/0,::/0".to_owned()));
        for wrong in [
            "",
            "10.1.0.0/8",
            "10.0.0.0/33",
            "x",
            "10.0.0.0/+8",
            "::1/127",
            "10.0.0.0/8,",
        ] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn tags_are_pairs_and_not_ours() {
        let found = tags("team=db, env=prod=1").unwrap();
        assert_eq!(tags_text(&found), "env=prod=1,team=db");
        for wrong in [
            "",
            "a",
            "=b",
            "a=b,a=c",
            "aws:x=1",
            "Cosi.larder.dev/driver=x",
            "a=<",
        ] {
            assert_eq!(tags(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn prefixes_mean_only_themselves() {
        assert_eq!(prefix("db1/"), Some("db1/".to_owned()));
        for wrong in ["", "/a", "a*", "a?", "${aws:username}", "a\n"] {
            assert_eq!(prefix(wrong), None, "{wrong}");
        }
    }
}
