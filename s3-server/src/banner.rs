//! What is printed once, when the server is ready.

use std::{net::SocketAddr, path::PathBuf};

use crate::credentials::Origin;

/// What the banner says. It never holds a secret.
#[derive(Clone, Debug)]
pub struct Banner<'a> {
    /// Where S3 is served, and where without TLS besides; the first is told to the shell.
    pub addresses: &'a [SocketAddr],
    /// Whether the first speaks TLS.
    pub is_secure: bool,
    /// `k+m`.
    pub profile: &'a str,
    /// Shards that may be lost.
    pub parity: u8,
    /// The region.
    pub region: &'a str,
    /// The disks, in order.
    pub disks: &'a [PathBuf],
    /// Where the root credentials are from.
    pub origin: &'a Origin,
    /// A file that holds them, unless they are the environment's.
    pub credentials_file: Option<PathBuf>,
}

impl Banner<'_> {
    /// The text, with a line that can be pasted into a shell.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut all = self.addresses.iter();
        let scheme = if self.is_secure { "https" } else { "http" };
        let endpoint = all
            .next()
            .map_or_else(String::new, |at| format!("{scheme}://{at}"));
        let version = env!("CARGO_PKG_VERSION");
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        line(&format!(
            "Larder {version} serves S3 at {endpoint} (region {})",
            self.region
        ));
        line(&format!(
            "  profile     {}: {}",
            self.profile,
            self.promise()
        ));
        for address in all {
            line(&format!("  plain HTTP  http://{address}"));
        }
        for (i, disk) in self.disks.iter().enumerate() {
            line(&format!("  disk {:<6} {}", i + 1, disk.display()));
        }
        line(&format!("  root keys   {}", self.credentials()));
        line("To make a bucket:");
        line(&format!(
            "{}aws --endpoint-url {endpoint} s3 mb s3://first-bucket",
            self.keys_of_shell()
        ));
        out
    }

    fn promise(&self) -> String {
        match self.parity {
            0 => "no disk may be lost".to_owned(),
            1 => "any 1 disk may be lost".to_owned(),
            m => format!("any {m} disks may be lost"),
        }
    }

    fn credentials(&self) -> String {
        let file = self
            .credentials_file
            .as_deref()
            .unwrap_or(std::path::Path::new(""))
            .display();
        match self.origin {
            Origin::Environment => {
                "from LARDER_ROOT_ACCESS_KEY and LARDER_ROOT_SECRET_KEY".to_owned()
            }
            Origin::Kept(_) => format!("kept in {file} and on the other disks"),
            Origin::MadeUp => format!("made up now, kept in {file} and on the other disks"),
        }
    }

    /// Reads the keys where they are kept instead of showing them.
    fn keys_of_shell(&self) -> String {
        let region = format!("AWS_DEFAULT_REGION={} ", self.region);
        let keys = match &self.credentials_file {
            None => "AWS_ACCESS_KEY_ID=\"$LARDER_ROOT_ACCESS_KEY\" AWS_SECRET_ACCESS_KEY=\"$LARDER_ROOT_SECRET_KEY\" ".to_owned(),
            Some(file) => {
                let read = |name| {
                    let quoted = file.display().to_string().replace('\'', "'\\''");
                    format!("\"$(sed 's/.*\"{name}\":\"\\([^\"]*\\)\".*/\\1/' '{quoted}')\"")
                };
                format!("AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} ", read("access_key"), read("secret_key"))
            }
        };
        keys + &region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_endpoint_profile_disks_and_where_the_keys_are() {
        let file = PathBuf::from("/d1/credentials.json");
        let banner = Banner {
            addresses: &[
                "127.0.0.1:9000".parse().unwrap(),
                "127.0.0.1:9001".parse().unwrap(),
            ],
            is_secure: true,
            profile: "2+2",
            parity: 2,
            region: "us-east-1",
            disks: &[PathBuf::from("/d1"), PathBuf::from("/d2")],
            origin: &Origin::MadeUp,
            credentials_file: Some(file),
        };
        let text = banner.text();
        for part in [
            "https://127.0.0.1:9000",
            "http://127.0.0.1:9001",
            "2+2",
            "any 2 disks",
            "/d2",
            "/d1/credentials.json",
            "aws --endpoint-url",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
