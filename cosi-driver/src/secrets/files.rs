//! Formats that are files.

use quick_xml::escape::escape;

use super::{Access, Pairs};

/// `rclone.conf` with one remote, `larder:`.
pub(super) fn rclone(access: Access<'_>) -> Pairs {
    let with = |(key, secret): (&str, &str)| {
        format!(
            "[larder]\ntype = s3\nprovider = Other\naccess_key_id = {key}\nsecret_access_key = {secret}\nendpoint = {}\nregion = {}\n\
             force_path_style = true\nno_check_bucket = true\n",
            access.bucket.endpoint, access.bucket.region
        )
    };
    one("rclone.conf", access.key().map(with))
}

/// `.s3cfg` of s3cmd: a host without a place for the bucket is path style.
pub(super) fn s3cfg(access: Access<'_>) -> Pairs {
    let (host, is_https) = access.host();
    let https = if is_https { "True" } else { "False" };
    let with = |(key, secret): (&str, &str)| {
        format!(
            "[default]\naccess_key = {key}\nsecret_key = {secret}\nhost_base = {host}\nhost_bucket = {host}\nuse_https = {https}\n\
             bucket_location = {}\nsignature_v2 = False\n",
            access.bucket.region
        )
    };
    one(".s3cfg", access.key().map(with))
}

/// A file for `config.d`: a named collection, `larder`, that table functions, tables and backups take.
pub(super) fn clickhouse(access: Access<'_>) -> Pairs {
    let endpoint = access.bucket.endpoint.trim_end_matches('/');
    let url = format!("{endpoint}/{}/", access.path());
    let with = |(key, secret): (&str, &str)| {
        format!(
            "<clickhouse>\n    <named_collections>\n        <larder>\n            <url>{}</url>\n            <access_key_id>{}</access_key_id>\n            \
             <secret_access_key>{}</secret_access_key>\n        </larder>\n    </named_collections>\n</clickhouse>\n",
            escape(&url),
            escape(key),
            escape(secret)
        )
    };
    one("clickhouse.xml", access.key().map(with))
}

/// The credentials file of Velero's plugin for AWS.
pub(super) fn velero(access: Access<'_>) -> Pairs {
    let with = |(key, secret): (&str, &str)| {
        format!("[default]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
    };
    one("cloud", access.key().map(with))
}

/// `s3.conf` of pgBackRest, for its first repository.
pub(super) fn pgbackrest(access: Access<'_>) -> Pairs {
    let with = |(key, secret): (&str, &str)| {
        format!(
            "[global]\nrepo1-s3-key={key}\nrepo1-s3-key-secret={secret}\nrepo1-s3-uri-style=path\n"
        )
    };
    one("s3.conf", access.key().map(with))
}

fn one(name: &'static str, content: Option<String>) -> Pairs {
    content
        .map(|content| vec![(name, content)])
        .unwrap_or_default()
}
