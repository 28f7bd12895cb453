//! `GetBucketVersioning` and `PutBucketVersioning`.

use larder_storage::objects::{BucketName, Versioning};

use super::{Call, small_body};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{MAX_SMALL_BYTES, versioning_configuration},
        write,
    },
};

const ENABLED: &str = "Enabled";
const SUSPENDED: &str = "Suspended";

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let status = match call.store.bucket(bucket).await?.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(ENABLED),
        Versioning::Suspended => Some(SUSPENDED),
    };
    Ok(reply::xml(write::versioning_configuration(status)))
}

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let asked = versioning_configuration(&body)?;
    if asked.mfa_delete.as_deref() == Some(ENABLED) {
        let message = "Larder does not implement MFA delete.";
        return Err(S3Error::with_message(S3Code::NotImplemented, message));
    }
    let versioning = match asked.status.as_deref() {
        Some(ENABLED) => Versioning::Enabled,
        Some(SUSPENDED) => Versioning::Suspended,
        None => {
            let code = S3Code::IllegalVersioningConfigurationException;
            let message = "The Versioning element must be specified";
            return Err(S3Error::with_message(code, message));
        }
        Some(_) => return Err(S3Error::new(S3Code::MalformedXml)),
    };
    call.store.set_versioning(bucket, versioning).await?;
    Ok(reply::empty())
}
