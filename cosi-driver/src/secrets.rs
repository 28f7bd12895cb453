//! What is in a Secret beside `BucketInfo`: keys and files as their consumers read them. Pure: the same access always gives the same text, and nothing is asked.
//!
//! `docs/secret-formats.md` lists the keys; a test compares. No key means two things in two formats, so that any of them can be asked for together.

mod files;
mod keys;

use std::collections::BTreeMap;

use crate::{
    parameters::SecretFormat,
    provision::{BucketInfo, Credentials},
};

/// Where pods of an access with a role are to mount their token, for which `AWS_WEB_IDENTITY_TOKEN_FILE` says it.
pub const TOKEN_FILE: &str = "/var/run/secrets/larder/token";

/// What is written down in some format.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The bucket.
    pub bucket: &'a BucketInfo,
    /// How access is proved.
    pub credentials: &'a Credentials,
    /// Authorities that have signed the server's certificate, PEM.
    pub ca: Option<&'a str>,
    /// Where in the bucket this access is at home; objects elsewhere it can't reach.
    pub prefix: Option<&'a str>,
}

impl<'a> Access<'a> {
    /// The access key and its secret; `None` for a role.
    fn key(self) -> Option<(&'a str, &'a str)> {
        match self.credentials {
            Credentials::Key(pair) => Some((&pair.access_key, &pair.secret_key)),
            Credentials::Role { .. } => None,
        }
    }

    /// `bucket`, or `bucket/prefix` without a last slash.
    fn path(self) -> String {
        let prefix = self.prefix.unwrap_or_default().trim_matches('/');
        let bucket = &self.bucket.id;
        if prefix.is_empty() {
            bucket.clone()
        } else {
            format!("{bucket}/{prefix}")
        }
    }

    /// The endpoint without its scheme and last slash, and whether it is HTTPS.
    fn host(self) -> (&'a str, bool) {
        let endpoint = self.bucket.endpoint.trim_end_matches('/');
        let host = endpoint.split_once("://").map_or(endpoint, |parts| parts.1);
        (host, endpoint.starts_with("https://"))
    }
}

/// The keys of a Secret in these formats. A role has no access key: formats that are about one have nothing to say then.
pub fn render(formats: &[SecretFormat], access: Access<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for format in formats {
        let pairs = of_format(*format, access);
        all.extend(
            pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
    }
    if let Some(ca) = access.ca.filter(|_| !formats.is_empty()) {
        all.insert("ca.crt".to_owned(), ca.to_owned());
    }
    all
}

type Pairs = Vec<(&'static str, String)>;

fn of_format(format: SecretFormat, access: Access<'_>) -> Pairs {
    match format {
        SecretFormat::Aws => keys::aws(access),
        SecretFormat::Cosi => keys::cosi(access),
        SecretFormat::Cnpg => keys::cnpg(access),
        SecretFormat::Percona => keys::percona(access),
        SecretFormat::Zalando => keys::zalando(access),
        SecretFormat::Rclone => files::rclone(access),
        SecretFormat::S3cfg => files::s3cfg(access),
        SecretFormat::Clickhouse => files::clickhouse(access),
        SecretFormat::Velero => files::velero(access),
    }
}

#[cfg(test)]
mod tests;
