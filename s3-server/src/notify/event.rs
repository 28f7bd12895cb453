//! Events in S3's JSON.

use larder_storage::objects::{Happened, Happening, VersionId};
use serde::Serialize;

use crate::{
    route::Operation,
    xml::{iso8601, write::url_encode},
};

/// What stands in place of whoever asks where nobody did: what the server does by itself.
const SERVER: &str = "s3.amazonaws.com";

/// Who has caused an event, and how.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// What was asked for; `None`: the server did it by itself.
    pub(super) operation: Option<Operation>,
    pub(super) principal: String,
    pub(super) address: String,
    pub(super) request_id: String,
}

impl Cause {
    /// The server itself.
    pub(super) fn server() -> Self {
        Self {
            operation: None,
            principal: SERVER.to_owned(),
            address: SERVER.to_owned(),
            request_id: String::new(),
        }
    }
}

/// What configurations call an event.
pub(super) fn name(what: Happened, operation: Option<Operation>) -> &'static str {
    match what {
        Happened::Created => match operation {
            Some(Operation::CopyObject) => "s3:ObjectCreated:Copy",
            Some(Operation::PostObject) => "s3:ObjectCreated:Post",
            Some(Operation::CompleteMultipartUpload) => "s3:ObjectCreated:CompleteMultipartUpload",
            _ => "s3:ObjectCreated:Put",
        },
        Happened::Deleted => "s3:ObjectRemoved:Delete",
        Happened::MarkerCreated => "s3:ObjectRemoved:DeleteMarkerCreated",
        Happened::Expired => "s3:LifecycleExpiration:Delete",
        Happened::MarkerByRule => "s3:LifecycleExpiration:DeleteMarkerCreated",
        Happened::Tagged if operation == Some(Operation::DeleteObjectTagging) => {
            "s3:ObjectTagging:Delete"
        }
        Happened::Tagged => "s3:ObjectTagging:Put",
        Happened::AclSet => "s3:ObjectAcl:Put",
    }
}

/// The version of the record's form, as AWS gives it.
fn version(what: Happened) -> &'static str {
    match what {
        Happened::Created | Happened::Deleted | Happened::MarkerCreated => "2.1",
        Happened::Expired | Happened::MarkerByRule | Happened::Tagged | Happened::AclSet => "2.3",
    }
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "Records")]
    records: [Record<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'a str,
    event_source: &'a str,
    aws_region: &'a str,
    event_time: String,
    event_name: &'a str,
    user_identity: Identity<'a>,
    request_parameters: RequestParameters<'a>,
    response_elements: ResponseElements<'a>,
    s3: S3<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    #[serde(rename = "principalId")]
    principal_id: &'a str,
}

#[derive(Serialize)]
struct RequestParameters<'a> {
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: &'a str,
}

#[derive(Serialize)]
struct ResponseElements<'a> {
    #[serde(rename = "x-amz-request-id")]
    request_id: &'a str,
    #[serde(rename = "x-amz-id-2")]
    id_2: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct S3<'a> {
    #[serde(rename = "s3SchemaVersion")]
    schema_version: &'a str,
    configuration_id: &'a str,
    bucket: Bucket<'a>,
    object: Object,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bucket<'a> {
    name: &'a str,
    owner_identity: Identity<'a>,
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    sequencer: String,
}

/// Where an event happened, beside what happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) region: &'a str,
    /// What lists call the bucket's owner.
    pub(super) owner: &'a str,
    /// The name of the configuration that it goes by.
    pub(super) configuration: &'a str,
}

/// An event as AWS words it.
pub(super) fn message(happening: &Happening<'_>, place: Place<'_>, cause: &Cause) -> Vec<u8> {
    let name = name(happening.what, cause.operation);
    let identity = |principal_id| Identity { principal_id };
    let (size, e_tag) = happening.content.map_or((None, None), |(size, tag)| {
        (Some(size), Some(tag.to_string()))
    });
    let record = Record {
        event_version: version(happening.what),
        event_source: "aws:s3",
        aws_region: place.region,
        event_time: time(happening.unix_millis),
        event_name: name.strip_prefix("s3:").unwrap_or(name),
        user_identity: identity(&cause.principal),
        request_parameters: RequestParameters {
            source_ip_address: &cause.address,
        },
        response_elements: ResponseElements {
            request_id: &cause.request_id,
            id_2: &cause.request_id,
        },
        s3: S3 {
            schema_version: "1.0",
            configuration_id: place.configuration,
            bucket: Bucket {
                name: happening.bucket,
                owner_identity: identity(place.owner),
                arn: format!("arn:aws:s3:::{}", happening.bucket),
            },
            object: Object {
                key: url_encode(happening.key.as_str()).replace("%20", "+"),
                size,
                e_tag,
                version_id: happening.version.as_ref().map(VersionId::to_string),
                sequencer: format!("{:016X}", happening.number),
            },
        },
    };
    let records = [record];
    serde_json::to_vec(&Message { records }).unwrap_or_default()
}

fn time(unix_millis: u64) -> String {
    iso8601(i64::try_from(unix_millis).unwrap_or(i64::MAX))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TestEvent<'a> {
    service: &'a str,
    event: &'a str,
    time: String,
    bucket: &'a str,
    request_id: &'a str,
    host_id: &'a str,
}

/// What a target is told when it becomes one of a bucket's.
pub(super) fn test_event(bucket: &str, request_id: &str, unix_millis: u64) -> Vec<u8> {
    let event = TestEvent {
        service: "Amazon S3",
        event: "s3:TestEvent",
        time: time(unix_millis),
        bucket,
        request_id,
        host_id: request_id,
    };
    serde_json::to_vec(&event).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use larder_storage::objects::{AccountId, ETag, ObjectKey};
    use serde_json::{Value, json};

    use super::*;

    fn cause(operation: Option<Operation>) -> Cause {
        Cause {
            operation,
            principal: "AWS:AIDA".to_owned(),
            address: "192.0.2.1".to_owned(),
            request_id: "0123".to_owned(),
        }
    }

    fn record(happening: &Happening<'_>, cause: &Cause) -> Value {
        let place = Place {
            region: "us-east-1",
            owner: "0abc",
            configuration: "rule",
        };
        let mut message: Value = serde_json::from_slice(&message(happening, place, cause)).unwrap();
        message["Records"][0].take()
    }

    fn happening(key: &ObjectKey) -> Happening<'_> {
        Happening {
            what: Happened::Created,
            bucket: "b",
            owner: AccountId::default(),
            key,
            version: None,
            content: Some((
                7,
                ETag {
                    md5: [0xab; 16],
                    parts: 2,
                },
            )),
            unix_millis: 1_700_000_000_123,
            number: 0x0100_0000_0005,
        }
    }

    #[test]
    fn a_record_is_as_aws_documents_it() {
        let key = ObjectKey::parse("a b/c+ä.txt").unwrap();
        let record = record(
            &happening(&key),
            &cause(Some(Operation::CompleteMultipartUpload)),
        );
        assert_eq!(
            record,
            json!({
                "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1",
                "eventTime": "2023-11-14T22:13:20.123Z", "eventName": "ObjectCreated:CompleteMultipartUpload",
                "userIdentity": {"principalId": "AWS:AIDA"}, "requestParameters": {"sourceIPAddress": "192.0.2.1"},
                "responseElements": {"x-amz-request-id": "0123", "x-amz-id-2": "0123"},
                "s3": {
                    "s3SchemaVersion": "1.0", "configurationId": "rule",
                    "bucket": {"name": "b", "ownerIdentity": {"principalId": "0abc"}, "arn": "arn:aws:s3:::b"},
                    "object": {
                        "key": "a+b/c%2B%C3%A4.txt", "size": 7, "eTag": format!("{}-2", "ab".repeat(16)),
                        "sequencer": "0000010000000005",
                    },
                },
            })
        );
    }

    #[test]
    fn what_went_has_no_size_and_no_tag() {
        let key = ObjectKey::parse("k").unwrap();
        let gone = Happening {
            what: Happened::Expired,
            content: None,
            version: Some(VersionId::Null),
            ..happening(&key)
        };
        let record = record(&gone, &Cause::server());
        assert_eq!(record["eventName"], "LifecycleExpiration:Delete");
        assert_eq!(record["eventVersion"], "2.3");
        let object = record["s3"]["object"].as_object().unwrap();
        let names: Vec<_> = object.keys().map(String::as_str).collect();
        assert_eq!(names, ["key", "sequencer", "versionId"]);
    }
}
