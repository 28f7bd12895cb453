//! Which Larder. Who asks is said by the environment or by files alone ([`crate::backend`]): a secret has no flag.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use http::Uri;

const HEADING: &str = "Larder";
/// Of a file with authorities.
const MAX_CA_BYTES: u64 = 1 << 20;

/// Which server.
#[derive(Clone, Debug, Args)]
pub struct ConnectionArgs {
    /// Where Larder is, as this process and pods of the cluster reach it.
    #[arg(long, env = "LARDER_COSI_ENDPOINT", value_name = "URL", help_heading = HEADING)]
    endpoint: Option<Uri>,
    /// Where Larder is for those outside of the cluster; classes choose between the two [default: that of --endpoint].
    #[arg(long, env = "LARDER_COSI_EXTERNAL_ENDPOINT", value_name = "URL", help_heading = HEADING)]
    external_endpoint: Option<Uri>,
    /// Larder's region.
    #[arg(long, env = "LARDER_COSI_REGION", default_value = "us-east-1", help_heading = HEADING)]
    region: String,
    /// Authorities besides the system's that may have signed Larder's certificate, PEM; handed on to those who get access.
    #[arg(long, env = "LARDER_COSI_CA_FILE", value_name = "FILE", help_heading = HEADING)]
    ca_file: Option<PathBuf>,
}

/// Which server, with nothing left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `http(s)://host[:port]`, without a slash at its end.
    pub endpoint: String,
    /// The same for those outside of the cluster.
    pub external_endpoint: Option<String>,
    /// Larder's region.
    pub region: String,
    /// Where `ca` is from.
    pub ca_file: Option<PathBuf>,
    /// PEM, where there is any.
    pub ca: Option<String>,
}

/// What is wrong with the connection's settings. Each says what to set.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nothing says where Larder is.
    #[error(
        "no endpoint: say where Larder is with --endpoint or LARDER_COSI_ENDPOINT, such as http://larder:9000"
    )]
    NoEndpoint,
    /// An endpoint that nothing can be reached at.
    #[error("{0} `{1}` is no endpoint: write http(s)://host[:port]")]
    Endpoint(&'static str, String),
    /// A file can't be read.
    #[error("--ca-file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("--ca-file {} {what}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl ConnectionArgs {
    /// Reads what has to be read.
    ///
    /// # Errors
    /// See [`ConnectionError`]: the operator corrects what it names.
    pub fn resolve(&self) -> Result<Connection, ConnectionError> {
        let endpoint = self.endpoint.as_ref().ok_or(ConnectionError::NoEndpoint)?;
        let external = self.external_endpoint.as_ref();
        let external = external.map(|it| root_of("--external-endpoint", it));
        Ok(Connection {
            endpoint: root_of("--endpoint", endpoint)?,
            external_endpoint: external.transpose()?,
            region: self.region.clone(),
            ca: self.ca_file.as_deref().map(authorities).transpose()?,
            ca_file: self.ca_file.clone(),
        })
    }
}

fn root_of(flag: &'static str, uri: &Uri) -> Result<String, ConnectionError> {
    let bad = || ConnectionError::Endpoint(flag, uri.to_string());
    let scheme = uri
        .scheme_str()
        .filter(|it| matches!(*it, "http" | "https"));
    let (scheme, authority) = scheme.zip(uri.authority()).ok_or_else(bad)?;
    let is_root = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if !is_root || authority.as_str().contains('@') {
        return Err(bad());
    }
    Ok(format!("{scheme}://{authority}"))
}

fn authorities(path: &Path) -> Result<String, ConnectionError> {
    let failed = |source| ConnectionError::File {
        path: path.to_owned(),
        source,
    };
    let unusable = |what| ConnectionError::Unusable {
        path: path.to_owned(),
        what,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_CA_BYTES {
        return Err(unusable("is too large"));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text);
    }
    Err(unusable("holds no certificate in PEM"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn resolve(flags: &[&str]) -> Result<Connection, String> {
        let args = Only::try_parse_from([&["it"], flags].concat());
        let resolved = args.unwrap().connection.resolve();
        resolved.map_err(|error| error.to_string())
    }

    #[test]
    fn flags_make_a_connection() {
        let external = [
            "--endpoint",
            "http://larder:9000/",
            "--external-endpoint",
            "https://s3.a",
        ];
        let connection = resolve(&external).unwrap();
        assert_eq!(connection.endpoint, "http://larder:9000");
        assert_eq!(
            connection.external_endpoint.as_deref(),
            Some("https://s3.a")
        );
        assert_eq!(
            (connection.region.as_str(), connection.ca),
            ("us-east-1", None)
        );
    }

    #[test]
    fn authorities_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            resolve(&[
                "--endpoint",
                "http://a",
                "--ca-file",
                path.to_str().unwrap(),
            ])
        };
        let pem = "-----BEGIN CERTIFICATE-----\n";
        assert_eq!(of(pem).unwrap().ca.as_deref(), Some(pem));
        assert!(of("no").unwrap_err().contains("holds no certificate"));
        assert!(
            of(&pem.repeat(50_000))
                .unwrap_err()
                .contains("is too large")
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert!(resolve(&[]).unwrap_err().contains("no endpoint"));
        let no_file = ["--endpoint", "http://a", "--ca-file", "/no/such"];
        assert!(
            resolve(&no_file)
                .unwrap_err()
                .contains("--ca-file /no/such: No such file")
        );
        for odd in [
            "larder:9000",
            "ftp://a",
            "http://a/b",
            "http://a/?q",
            "http://u:p@a",
        ] {
            let text = resolve(&["--endpoint", odd]).unwrap_err();
            assert!(text.contains("is no endpoint"), "{text}");
        }
    }
}
