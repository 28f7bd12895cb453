use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::*;
use crate::provision::KeyPair;

fn bucket() -> BucketInfo {
    BucketInfo {
        id: "bucket-1".to_owned(),
        endpoint: "https://s3.example:9000".to_owned(),
        region: "eu-west-3".to_owned(),
    }
}

fn pair() -> Credentials {
    Credentials::Key(KeyPair {
        access_key: "AK".to_owned(),
        secret_key: Zeroizing::new("S&K/+".to_owned()),
    })
}

fn role() -> Credentials {
    Credentials::Role {
        arn: "arn:aws:iam::1:role/r".to_owned(),
        audience: "larder".to_owned(),
    }
}

fn rendered(
    formats: &[SecretFormat],
    credentials: &Credentials,
    prefix: Option<&str>,
    ca: Option<&str>,
) -> BTreeMap<String, String> {
    render(
        formats,
        Access {
            bucket: &bucket(),
            credentials,
            ca,
            prefix,
        },
    )
}

fn golden(format: SecretFormat) -> String {
    let all = rendered(&[format], &pair(), Some("db/one/"), None);
    let each = all.iter().map(|(key, value)| format!("{key}: {value}\n"));
    each.collect::<String>().trim_end().to_owned()
}

#[test]
fn aws_is_what_the_sdks_read() {
    assert_eq!(
        golden(SecretFormat::Aws),
        "AWS_ACCESS_KEY_ID: AK\nAWS_DEFAULT_REGION: eu-west-3\nAWS_ENDPOINT_URL: https://s3.example:9000\nAWS_REGION: eu-west-3\n\
         AWS_S3_ADDRESSING_STYLE: path\nAWS_SECRET_ACCESS_KEY: S&K/+\nBUCKET_NAME: bucket-1\nBUCKET_PREFIX: db/one/"
    );
}

#[test]
fn cosi_has_the_names_of_all_revisions() {
    let all = rendered(&[SecretFormat::Cosi], &pair(), None, Some("PEM"));
    let keys: Vec<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_S3_ADDRESSING_STYLE",
            "AWS_SECRET_ACCESS_KEY",
            "BUCKET_NAME",
            "COSI_CERTIFICATE_AUTHORITY",
            "COSI_PROTOCOL",
            "COSI_S3_ACCESS_KEY_ID",
            "COSI_S3_ACCESS_SECRET_KEY",
            "COSI_S3_ADDRESSING_STYLE",
            "COSI_S3_BUCKET_ID",
            "COSI_S3_ENDPOINT",
            "COSI_S3_REGION",
            "ca.crt"
        ]
    );
    assert_eq!(all["COSI_CERTIFICATE_AUTHORITY"], "PEM");
    assert_eq!(all["COSI_S3_ACCESS_SECRET_KEY"], "S&K/+");
}

#[test]
fn operators_get_what_they_document() {
    assert_eq!(
        golden(SecretFormat::Cnpg),
        "ACCESS_KEY_ID: AK\nACCESS_SECRET_KEY: S&K/+\nREGION: eu-west-3\ndestinationPath: s3://bucket-1/db/one\nendpointURL: https://s3.example:9000"
    );
    assert_eq!(
        golden(SecretFormat::Percona),
        "AWS_ACCESS_KEY_ID: AK\nAWS_SECRET_ACCESS_KEY: S&K/+\n\
         s3.conf: [global]\nrepo1-s3-key=AK\nrepo1-s3-key-secret=S&K/+\nrepo1-s3-uri-style=path"
    );
    assert_eq!(
        golden(SecretFormat::Zalando),
        "AWS_ACCESS_KEY_ID: AK\nAWS_ENDPOINT: https://s3.example:9000\nAWS_REGION: eu-west-3\nAWS_S3_FORCE_PATH_STYLE: true\n\
         AWS_SECRET_ACCESS_KEY: S&K/+\nUSE_WALG_BACKUP: true\nUSE_WALG_RESTORE: true\nWAL_S3_BUCKET: bucket-1/db/one"
    );
    assert_eq!(
        golden(SecretFormat::Velero),
        "cloud: [default]\naws_access_key_id=AK\naws_secret_access_key=S&K/+"
    );
}

#[test]
fn files_are_as_their_programs_read_them() {
    assert_eq!(
        golden(SecretFormat::Rclone),
        "rclone.conf: [larder]\ntype = s3\nprovider = Other\naccess_key_id = AK\nsecret_access_key = S&K/+\nendpoint = https://s3.example:9000\n\
         region = eu-west-3\nforce_path_style = true\nno_check_bucket = true"
    );
    assert_eq!(
        golden(SecretFormat::S3cfg),
        ".s3cfg: [default]\naccess_key = AK\nsecret_key = S&K/+\nhost_base = s3.example:9000\nhost_bucket = s3.example:9000\nuse_https = True\n\
         bucket_location = eu-west-3\nsignature_v2 = False"
    );
    let xml = golden(SecretFormat::Clickhouse);
    assert!(
        xml.contains("<secret_access_key>S&amp;K/+</secret_access_key>"),
        "{xml}"
    );
    assert!(
        xml.contains("<url>https://s3.example:9000/bucket-1/db/one/</url>"),
        "{xml}"
    );
}

#[test]
fn a_role_comes_without_any_key() {
    let all = rendered(&SecretFormat::ALL, &role(), None, None);
    assert_eq!(all["AWS_ROLE_ARN"], "arn:aws:iam::1:role/r");
    assert_eq!(all["AWS_WEB_IDENTITY_TOKEN_FILE"], TOKEN_FILE);
    assert_eq!(all["WEB_IDENTITY_AUDIENCE"], "larder");
    let about_keys = [
        "ACCESS_KEY_ID",
        "AWS_ACCESS_KEY_ID",
        "rclone.conf",
        "cloud",
        "s3.conf",
        ".s3cfg",
        "clickhouse.xml",
    ];
    assert!(
        about_keys.iter().all(|key| !all.contains_key(*key)),
        "{all:?}"
    );
}

#[test]
fn no_key_means_two_things() {
    let mut seen = BTreeMap::new();
    for format in SecretFormat::ALL {
        for (key, value) in rendered(&[format], &pair(), Some("p/"), Some("PEM")) {
            let before = seen.insert(key.clone(), value.clone());
            assert!(before.is_none_or(|before| before == value), "{key}");
        }
    }
}

#[test]
fn no_format_is_no_key() {
    assert!(rendered(&[], &pair(), None, Some("PEM")).is_empty());
}

/// Keys stand in the first column of the documentation's tables, one row each.
#[test]
fn the_documentation_lists_every_key_and_no_other() {
    let text = include_str!("../../../docs/secret-formats.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let mut keys = BTreeSet::from(["BucketInfo".to_owned()]);
    for credentials in [pair(), role()] {
        keys.extend(
            rendered(&SecretFormat::ALL, &credentials, Some("p/"), Some("PEM")).into_keys(),
        );
    }
    let keys: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(documented, keys);
}
