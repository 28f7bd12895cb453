//! Larder's admin API, for what S3 has no word for. Only the server's root may ask it.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::connection::{Connection, Outgoing};
use crate::backend::{BackendError, BackendResult, Quota};

pub(super) async fn set_quota(
    connection: &Connection,
    bucket: &str,
    quota: Quota,
) -> BackendResult<()> {
    let body = json!({"bucket": bucket, "max_bytes": quota.bytes, "max_objects": quota.objects});
    let body = Bytes::from(body.to_string());
    match ask(connection, Method::POST, "buckets/quota", bucket, body).await {
        Ok(_) => Ok(()),
        Err(error) => Err(advised(error)),
    }
}

/// What to do where quotas can't be set.
fn advised(error: BackendError) -> BackendError {
    const ADVICE: &str = "quotaBytes and quotaObjects are set by Larder's own API, which only the server's root may ask: give the driver its key pair, or leave them out of the BucketClass";
    match error {
        BackendError::Denied { code, message } => {
            let said = message.split("; ").next().unwrap_or_default();
            BackendError::Denied {
                message: format!("{said}; {ADVICE}"),
                code,
            }
        }
        BackendError::Refused { code, message } if code != "BadRequest" => BackendError::Denied {
            message: format!("{message} ({code}); {ADVICE}"),
            code,
        },
        other => other,
    }
}

/// The quota of a bucket; none where the driver may not ask.
pub(super) async fn quota(connection: &Connection, bucket: &str) -> BackendResult<Quota> {
    let what = format!("buckets?bucket={bucket}");
    match ask(connection, Method::GET, &what, bucket, Bytes::new()).await {
        Ok(list) => {
            let number = |name: &str| list.pointer(&format!("/buckets/0/{name}"))?.as_u64();
            Ok(Quota {
                bytes: number("max_bytes"),
                objects: number("max_objects"),
            })
        }
        Err(BackendError::Denied { .. } | BackendError::Refused { .. }) => Ok(Quota::default()),
        Err(error) => Err(error),
    }
}

async fn ask(
    connection: &Connection,
    method: Method,
    what: &str,
    subject: &str,
    body: Bytes,
) -> BackendResult<Value> {
    let request = Outgoing {
        service: "s3",
        method,
        path: &format!("/_larder/v1/{what}"),
        headers: &[],
        body,
        subject,
    };
    let answer = connection.ask(&request).await?;
    serde_json::from_slice(&answer.body).map_err(|_| BackendError::Refused {
        code: "NoAdminApi".to_owned(),
        message: "the server has no admin API of Larder's".to_owned(),
    })
}
