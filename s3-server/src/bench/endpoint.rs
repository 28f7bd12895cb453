//! Where the server is: an `http://` URL, resolved once.

use std::net::{SocketAddr, ToSocketAddrs};

/// A resolved endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What to connect to.
    pub address: SocketAddr,
    /// The `Host` header: name and port as given, port 80 left out.
    pub authority: String,
}

/// An endpoint that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// TLS is not spoken here.
    #[error("'{0}': only http:// is supported, as TLS would cost the client more than the load")]
    NotHttp(String),
    /// There is a path, or nothing, after the host.
    #[error("'{0}': expected http://HOST:PORT and nothing more")]
    Malformed(String),
    /// The name could not be resolved.
    #[error("can't resolve '{authority}': {source}")]
    Resolve {
        /// Host and port.
        authority: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The name has no address.
    #[error("'{0}' has no address")]
    NoAddress(String),
}

impl Endpoint {
    /// Parses and resolves `url`.
    ///
    /// # Errors
    /// [`EndpointError`]: the user has to name another endpoint.
    pub fn resolve(url: &str) -> Result<Self, EndpointError> {
        let (authority, with_port) = split(url)?;
        let addresses = with_port.to_socket_addrs();
        let mut addresses = addresses.map_err(|source| EndpointError::Resolve {
            authority: with_port.clone(),
            source,
        })?;
        let address = addresses
            .next()
            .ok_or(EndpointError::NoAddress(with_port))?;
        Ok(Self { address, authority })
    }
}

/// The `Host` header and `host:port` of a URL.
fn split(url: &str) -> Result<(String, String), EndpointError> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| EndpointError::NotHttp(url.to_owned()))?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let strange = |c: char| matches!(c, '/' | '?' | '#' | '@') || c.is_whitespace();
    if authority.is_empty() || authority.contains(strange) {
        return Err(EndpointError::Malformed(url.to_owned()));
    }
    let after_address = authority
        .rfind(']')
        .map_or(authority, |at| &authority[at..]);
    if !after_address.contains(':') {
        return Ok((authority.to_owned(), format!("{authority}:80")));
    }
    let host = authority.strip_suffix(":80").unwrap_or(authority);
    Ok((host.to_owned(), authority.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_host_as_given_and_adds_the_port() {
        for (url, host, with_port) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://s3.local/", "s3.local", "s3.local:80"),
            ("http://s3.local:80", "s3.local", "s3.local:80"),
            ("http://[::1]:9000", "[::1]:9000", "[::1]:9000"),
            ("http://[::1]", "[::1]", "[::1]:80"),
        ] {
            assert_eq!(
                split(url).unwrap(),
                (host.to_owned(), with_port.to_owned()),
                "{url}"
            );
        }
    }

    #[test]
    fn refuses_what_it_cannot_serve_by_name() {
        assert!(matches!(
            split("https://a:1"),
            Err(EndpointError::NotHttp(_))
        ));
        assert!(matches!(
            split("127.0.0.1:9000"),
            Err(EndpointError::NotHttp(_))
        ));
        for url in [
            "http://",
            "http:///",
            "http://a/b",
            "http://u@a",
            "http://a b",
        ] {
            assert!(
                matches!(split(url), Err(EndpointError::Malformed(_))),
                "{url}"
            );
        }
    }
}
