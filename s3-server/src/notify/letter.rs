//! An event on its way.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use larder_storage::objects::WaitingEvent;
use serde::Deserialize;

/// An event, and what targets want to know of it besides.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Its number in the queue.
    pub(super) number: u64,
    /// `bucket/key` of the object, the key URL-encoded; of test events the bucket.
    pub(super) about: String,
    /// The JSON.
    pub(super) content: Bytes,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
    #[serde(rename = "Bucket", default)]
    bucket: String,
}

#[derive(Deserialize)]
struct Record {
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Letter {
    pub(super) fn of(event: WaitingEvent) -> Self {
        let WaitingEvent { number, content } = event;
        // What a later release wrote is sent as it is.
        let message = serde_json::from_slice::<Message>(&content).ok();
        let about = message.map(|message| match message.records.first() {
            Some(Record { s3 }) => format!("{}/{}", s3.bucket.name, s3.object.key),
            None => message.bucket,
        });
        Self {
            number,
            about: about.unwrap_or_default(),
            content,
        }
    }

    /// Events of one lane arrive in order.
    pub(super) fn lane(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(&self.about)
    }

    #[cfg(test)]
    pub(super) fn for_tests(number: u64, about: &str) -> Self {
        Self {
            number,
            about: about.to_owned(),
            content: Bytes::from(format!("{number}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_it_can_be_sent() {
        for (content, about) in [
            (
                r#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k+1"}}}]}"#,
                "b/k+1",
            ),
            (r#"{"Event":"s3:TestEvent","Bucket":"b"}"#, "b"),
            ("{}", ""),
            ("nothing that is known", ""),
        ] {
            let content = Bytes::from_static(content.as_bytes());
            let letter = Letter::of(WaitingEvent { number: 1, content });
            assert_eq!(letter.about, about);
        }
    }
}
