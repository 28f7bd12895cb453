//! What is in a Secret: `BucketInfo`, as upstream's sidecar writes it, one line of JSON, its fields in this order; and the formats that the class asks for.

use serde::Serialize;
use serde_json::Value;

use crate::{
    controllers::secret::Contents,
    kube::{Bucket, BucketAccess, info_name},
    parameters::AccessParameters,
    provision::{Credentials, Granted},
    secrets,
};

/// What is in the Secret, by key.
pub(crate) fn contents(
    access: &BucketAccess,
    bucket: &Bucket,
    parameters: &AccessParameters,
    granted: &Granted,
    ca: Option<&str>,
) -> Contents {
    let info = Info::of(access, bucket, granted);
    let text = serde_json::to_string(&info).unwrap_or_default();
    let mut contents = Contents::from([("BucketInfo".to_owned(), text)]);
    if let Some(place) = granted.buckets.first() {
        let shown = secrets::Access {
            bucket: place,
            credentials: &granted.credentials,
            ca,
            prefix: parameters.prefix.as_deref(),
        };
        contents.extend(secrets::render(&parameters.secret_formats, shown));
    }
    contents
}

#[derive(Serialize)]
struct Info<'a> {
    metadata: Metadata,
    spec: Spec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    creation_timestamp: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    bucket_name: &'a str,
    authentication_type: &'static str,
    #[serde(rename = "secretS3")]
    secret_s3: SecretS3<'a>,
    secret_azure: Value,
    protocols: [&'a str; 1],
}

#[derive(Serialize)]
struct SecretS3<'a> {
    endpoint: &'a str,
    region: &'a str,
    #[serde(rename = "accessKeyID")]
    access_key: &'a str,
    #[serde(rename = "accessSecretKey")]
    secret_key: &'a str,
}

impl<'a> Info<'a> {
    fn of(access: &'a BucketAccess, bucket: &'a Bucket, granted: &'a Granted) -> Self {
        let uid = access.metadata.uid.as_deref().unwrap_or_default();
        let place = granted.buckets.first();
        let name = bucket.metadata.name.as_deref();
        Self {
            metadata: Metadata {
                name: info_name(uid),
                creation_timestamp: Value::Null,
            },
            spec: Spec {
                // Upstream has the name of the object; where an administrator named a bucket, that is what requests have to name.
                bucket_name: place.map_or_else(|| name.unwrap_or_default(), |place| &place.id),
                authentication_type: kind(&granted.credentials),
                secret_s3: SecretS3 {
                    endpoint: place.map_or("", |place| &place.endpoint),
                    region: place.map_or("", |place| &place.region),
                    access_key: key(&granted.credentials).0,
                    secret_key: key(&granted.credentials).1,
                },
                secret_azure: Value::Null,
                protocols: [access.spec.protocol.as_deref().unwrap_or_default()],
            },
        }
    }
}

fn kind(credentials: &Credentials) -> &'static str {
    match credentials {
        Credentials::Key(_) => "Key",
        Credentials::Role { .. } => "IAM",
    }
}

fn key(credentials: &Credentials) -> (&str, &str) {
    match credentials {
        Credentials::Key(pair) => (&pair.access_key, &pair.secret_key),
        Credentials::Role { .. } => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::provision::{BucketInfo, KeyPair};

    fn granted(credentials: Credentials) -> Granted {
        Granted {
            account: "ba-u".to_owned(),
            buckets: vec![BucketInfo {
                id: "bucket-c".to_owned(),
                endpoint: "http://store:9000".to_owned(),
                region: "us-east-1".to_owned(),
            }],
            credentials,
            generation: 1,
        }
    }

    #[test]
    fn it_is_byte_for_byte_as_upstream_writes_it() {
        let mut access = BucketAccess::named("a");
        access.metadata.uid = Some("u".to_owned());
        access.spec.protocol = Some("S3".to_owned());
        let granted = granted(Credentials::Key(KeyPair {
            access_key: "AK".to_owned(),
            secret_key: Zeroizing::new("SK".to_owned()),
        }));
        let bucket = Bucket::named("bucket-c");
        let info = Info::of(&access, &bucket, &granted);
        assert_eq!(
            serde_json::to_string(&info).unwrap(),
            concat!(
                r#"{"metadata":{"name":"bc-u","creationTimestamp":null},"#,
                r#""spec":{"bucketName":"bucket-c","authenticationType":"Key","#,
                r#""secretS3":{"endpoint":"http://store:9000","region":"us-east-1","accessKeyID":"AK","accessSecretKey":"SK"},"#,
                r#""secretAzure":null,"protocols":["S3"]}}"#
            )
        );
    }

    #[test]
    fn a_role_has_no_key() {
        let role = granted(Credentials::Role {
            arn: "arn:aws:iam::1:role/r".to_owned(),
            audience: "sts.amazonaws.com".to_owned(),
        });
        let (access, bucket) = (BucketAccess::named("a"), Bucket::named("renamed"));
        let info = serde_json::to_value(Info::of(&access, &bucket, &role)).unwrap();
        assert_eq!(info["spec"]["authenticationType"], "IAM");
        assert_eq!(info["spec"]["secretS3"]["accessKeyID"], "");
        assert_eq!(info["spec"]["bucketName"], "bucket-c");
        assert_eq!(info["spec"]["protocols"], serde_json::json!([""]));
    }
}
