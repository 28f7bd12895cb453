//! Who a client is behind the proxies that are trusted.
//!
//! Invariant: what a header says counts only as far as trusted proxies have written it, from its end on; without them the connection's other
//! end is the client.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName};
use larder_policy::Network;

use crate::tls::Session;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Proxies that are believed when they say whom they speak for.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Network>);

/// The other end of a connection: the client, or a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Session>,
}

impl Peer {
    /// Nobody in particular.
    pub const UNKNOWN: Self = Self {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        tls: None,
    };
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// Whether all of its way to the first proxy was encrypted.
    pub is_secure: bool,
}

impl Client {
    /// What addresses begin with that are told to it.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

impl TrustedProxies {
    /// Reads addresses and ranges.
    ///
    /// # Errors
    /// The text that is neither.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| Network::parse(text.trim()).ok_or_else(|| text.clone());
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Who sent a request with these headers over a connection from `peer`.
    pub fn client(&self, peer: &Peer, headers: &HeaderMap) -> Client {
        if !self.trusts(peer.address) {
            return Client {
                address: peer.address,
                is_secure: peer.tls.is_some(),
            };
        }
        let named = headers.get_all(FORWARDED_FOR).iter();
        let named: Vec<_> = named
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let mut address = peer.address;
        for text in named.iter().rev() {
            match parse_address(text.trim()) {
                Some(before) => address = before,
                None => break,
            }
            if !self.trusts(address) {
                break;
            }
        }
        let proto = headers.get_all(FORWARDED_PROTO).iter().next_back();
        let is_secure = match proto {
            Some(proto) => proto.as_bytes().eq_ignore_ascii_case(b"https"),
            // It speaks for itself, unless it names somebody behind it.
            None => peer.tls.is_some() && named.is_empty(),
        };
        Client { address, is_secure }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// An address, as some proxies write it with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().ok().map(|at: std::net::SocketAddr| at.ip());
    text.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, headers: &[(HeaderName, &str)]) -> Client {
        let address = peer.parse().unwrap();
        over(proxies, Peer { address, tls: None }, headers)
    }

    fn over(proxies: &[&str], peer: Peer, headers: &[(HeaderName, &str)]) -> Client {
        let texts: Vec<_> = proxies.iter().map(|&text| text.to_owned()).collect();
        let proxies = TrustedProxies::parse(&texts).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        proxies.client(&peer, &map)
    }

    fn address(proxies: &[&str], peer: &str, forwarded: &str) -> String {
        let headers = [(FORWARDED_FOR, forwarded)];
        client(proxies, peer, &headers).address.to_string()
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        let headers = [(FORWARDED_FOR, "1.2.3.4"), (FORWARDED_PROTO, "https")];
        let from_outside = client(&[], "9.9.9.9", &headers);
        assert_eq!(from_outside.address.to_string(), "9.9.9.9");
        assert!(!from_outside.is_secure);
        let behind = client(&["9.9.9.0/24"], "9.9.9.9", &headers);
        assert_eq!(behind.address.to_string(), "1.2.3.4");
        assert!(behind.is_secure);
    }

    #[test]
    fn what_comes_before_the_last_stranger_is_hearsay() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(address(&trusted, "10.0.0.1", "6.6.6.6, 1.2.3.4"), "1.2.3.4");
        assert_eq!(
            address(&trusted, "10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2"),
            "1.2.3.4"
        );
        assert_eq!(
            address(&trusted, "10.0.0.1", "6.6.6.6, unknown, 10.0.0.2"),
            "10.0.0.2"
        );
        assert_eq!(
            address(&trusted, "fd00::1", "[2001:db8::1]:443"),
            "2001:db8::1"
        );
        assert_eq!(address(&trusted, "10.0.0.1", ""), "10.0.0.1");
        let twice = [(FORWARDED_FOR, "6.6.6.6"), (FORWARDED_FOR, "1.2.3.4")];
        let client = client(&trusted, "10.0.0.1", &twice);
        assert_eq!(client.address.to_string(), "1.2.3.4");
    }

    #[test]
    fn a_way_is_secure_as_far_as_somebody_who_is_believed_says() {
        let peer = Peer {
            address: "10.0.0.1".parse().unwrap(),
            tls: Some(Session {
                protocol: "TLSv1.3",
                cipher: "TLS_AES_128_GCM_SHA256",
            }),
        };
        let (trusting, nobody): (&[&str], &[&str]) = (&["10.0.0.1"], &[]);
        let (from, plain) = ((FORWARDED_FOR, "1.2.3.4"), (FORWARDED_PROTO, "http"));
        assert!(over(nobody, peer, &[from.clone(), plain.clone()]).is_secure);
        assert!(over(trusting, peer, &[]).is_secure);
        assert!(!over(trusting, peer, std::slice::from_ref(&from)).is_secure);
        assert!(!over(trusting, peer, &[from, plain]).is_secure);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let refused = TrustedProxies::parse(&["10.0.0.0/40".to_owned()]);
        assert_eq!(refused.unwrap_err(), "10.0.0.0/40");
    }
}
