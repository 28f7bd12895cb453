//! Formats that are keys: most consumers take them as environment variables.

use super::{Access, Pairs, TOKEN_FILE, files::pgbackrest};
use crate::provision::Credentials;

/// What AWS's SDKs read from the environment, and where the bucket is.
pub(super) fn aws(access: Access<'_>) -> Pairs {
    let bucket = access.bucket;
    let mut pairs = vec![
        ("AWS_DEFAULT_REGION", bucket.region.clone()),
        ("AWS_ENDPOINT_URL", bucket.endpoint.clone()),
        ("AWS_REGION", bucket.region.clone()),
        ("AWS_S3_ADDRESSING_STYLE", "path".to_owned()),
        ("BUCKET_NAME", bucket.id.clone()),
    ];
    if let Some(prefix) = access.prefix {
        pairs.push(("BUCKET_PREFIX", prefix.to_owned()));
    }
    pairs.extend(aws_credentials(access));
    pairs
}

fn aws_credentials(access: Access<'_>) -> Pairs {
    match access.credentials {
        Credentials::Key(_) => aws_key(access),
        Credentials::Role { arn, audience } => vec![
            ("AWS_ROLE_ARN", arn.clone()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", TOKEN_FILE.to_owned()),
            ("WEB_IDENTITY_AUDIENCE", audience.clone()),
        ],
    }
}

fn aws_key(access: Access<'_>) -> Pairs {
    with_key(access, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
}

fn with_key(access: Access<'_>, id: &'static str, secret: &'static str) -> Pairs {
    let pair = |(key, value): (&str, &str)| vec![(id, key.to_owned()), (secret, value.to_owned())];
    access.key().map(pair).unwrap_or_default()
}

/// What COSI v1alpha2 writes: the names of its first revision, and those of the later ones, which are AWS's.
pub(super) fn cosi(access: Access<'_>) -> Pairs {
    let bucket = access.bucket;
    let mut pairs = vec![
        ("AWS_DEFAULT_REGION", bucket.region.clone()),
        ("AWS_ENDPOINT_URL", bucket.endpoint.clone()),
        ("AWS_S3_ADDRESSING_STYLE", "path".to_owned()),
        ("BUCKET_NAME", bucket.id.clone()),
        ("COSI_PROTOCOL", "S3".to_owned()),
        ("COSI_S3_ADDRESSING_STYLE", "path".to_owned()),
        ("COSI_S3_BUCKET_ID", bucket.id.clone()),
        ("COSI_S3_ENDPOINT", bucket.endpoint.clone()),
        ("COSI_S3_REGION", bucket.region.clone()),
    ];
    if let Some(ca) = access.ca {
        pairs.push(("COSI_CERTIFICATE_AUTHORITY", ca.to_owned()));
    }
    pairs.extend(aws_key(access));
    pairs.extend(with_key(
        access,
        "COSI_S3_ACCESS_KEY_ID",
        "COSI_S3_ACCESS_SECRET_KEY",
    ));
    pairs
}

/// What `s3Credentials` of `CloudNativePG` refer to, and what its object store has to say beside them.
pub(super) fn cnpg(access: Access<'_>) -> Pairs {
    let mut pairs = with_key(access, "ACCESS_KEY_ID", "ACCESS_SECRET_KEY");
    if !pairs.is_empty() {
        pairs.push(("REGION", access.bucket.region.clone()));
        pairs.push(("destinationPath", format!("s3://{}", access.path())));
        pairs.push(("endpointURL", access.bucket.endpoint.clone()));
    }
    pairs
}

/// Percona's operators for `MySQL` and `MongoDB` read two keys, that for `PostgreSQL` a file of pgBackRest.
pub(super) fn percona(access: Access<'_>) -> Pairs {
    let mut pairs = aws_key(access);
    pairs.extend(pgbackrest(access));
    pairs
}

/// What Spilo, the image of Zalando's operator, and WAL-G read. No `WALG_S3_PREFIX`: it would be the same one for all clusters that have these variables.
pub(super) fn zalando(access: Access<'_>) -> Pairs {
    let mut pairs = aws_key(access);
    if !pairs.is_empty() {
        pairs.push(("AWS_ENDPOINT", access.bucket.endpoint.clone()));
        pairs.push(("AWS_REGION", access.bucket.region.clone()));
        pairs.push(("AWS_S3_FORCE_PATH_STYLE", "true".to_owned()));
        pairs.push(("USE_WALG_BACKUP", "true".to_owned()));
        pairs.push(("USE_WALG_RESTORE", "true".to_owned()));
        pairs.push(("WAL_S3_BUCKET", access.path()));
    }
    pairs
}
