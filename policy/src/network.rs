//! Ranges of addresses.

use std::net::IpAddr;

/// A range of addresses: those with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    /// How many of the first bits count.
    prefix: u8,
    is_v4: bool,
}

impl Network {
    /// Reads `address` or `address/prefix`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => max,
            Some(text) => text
                .parse()
                .ok()
                .filter(|p| *p <= max && is_number(&text))?,
        };
        let is_v4 = address.is_ipv4();
        let bits = masked(bits(address), prefix, is_v4);
        Some(Self {
            bits,
            prefix,
            is_v4,
        })
    }

    /// Whether an address is in it. An IPv4 address within IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_v4
            && masked(bits(address), self.prefix, self.is_v4) == self.bits
    }

    /// Whether it is so large that whoever is in it might as well be anybody: as AWS has it, more than a /8 of IPv4 or a /32 of
    /// IPv6, but for addresses of private networks.
    pub(crate) fn is_very_broad(&self) -> bool {
        let least = if self.is_v4 { 8 } else { 32 };
        self.prefix < least && !self.is_private()
    }

    /// Unique local addresses. All private ranges of IPv4 are a /8 or less.
    fn is_private(&self) -> bool {
        !self.is_v4 && self.prefix >= 7 && self.bits >> 121 == 0xfc >> 1
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn masked(bits: u128, prefix: u8, is_v4: bool) -> u128 {
    let width: u32 = if is_v4 { 32 } else { 128 };
    let cut = width - u32::from(prefix);
    bits.checked_shr(cut)
        .unwrap_or(0)
        .checked_shl(cut)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network = Network::parse(network).expect("a network");
        network.contains(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_are_in_networks() {
        assert!(contains("203.0.113.0/24", "203.0.113.255"));
        assert!(!contains("203.0.113.0/24", "203.0.114.0"));
        assert!(contains("203.0.113.77/24", "203.0.113.1"));
        assert!(contains("203.0.113.5", "203.0.113.5"));
        assert!(!contains("203.0.113.5", "203.0.113.4"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "1.2.3.4"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:DB8:1234:5678::/64", "2001:db8:1234:5678::9"));
        assert!(!contains(
            "2001:db8:1234:5678::/64",
            "2001:db8:1234:5679::9"
        ));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "::/129",
            "a/8",
            "1.2.3.4/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn very_broad_is_more_than_a_class_a() {
        let is = |text| Network::parse(text).expect("a network").is_very_broad();
        assert!(is("0.0.0.0/0") && is("1.0.0.0/7") && is("::/0") && is("2001:db8::/31"));
        assert!(!is("10.0.0.0/8") && !is("1.2.3.4") && !is("2001:db8::/32"));
        assert!(!is("fc00::/7") && is("e000::/6"));
    }
}
