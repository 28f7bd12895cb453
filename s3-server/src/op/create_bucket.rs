//! `CreateBucket`.

use http::header;
use larder_storage::objects::{BucketName, CreateBucket, StoreError};

use super::{
    Call,
    call::{check_unbuilt_headers, invalid_argument, text},
    small_body,
};
use crate::{
    config::DEFAULT_REGION,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::parse::{MAX_SMALL_BYTES, create_bucket_configuration},
};

pub(super) async fn run(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    check_unbuilt_headers(call.headers())?;
    if text(call.headers(), "x-amz-bucket-object-lock-enabled") == Some("true") {
        let message = "Larder does not implement object lock yet.";
        return Err(S3Error::with_message(S3Code::NotImplemented, message));
    }
    check_ownership(text(call.headers(), "x-amz-object-ownership"))?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let region = &call.app.region;
    check_location(create_bucket_configuration(&body)?.as_deref(), region)?;
    let create = CreateBucket {
        name: bucket.clone(),
        region: region.clone(),
    };
    match call.store.create_bucket(create).await {
        Ok(_) => Ok(answer(bucket)),
        // AWS's oldest region lets its owner make a bucket again, and scripts rely on it.
        Err(StoreError::BucketExists) if region == DEFAULT_REGION => Ok(answer(bucket)),
        Err(StoreError::BucketExists) => {
            Err(S3Error::new(S3Code::BucketAlreadyOwnedByYou)
                .element("BucketName", bucket.as_str()))
        }
        Err(error) => Err(error.into()),
    }
}

fn answer(bucket: &BucketName) -> Response {
    let mut response = reply::empty();
    reply::set(
        response.headers_mut(),
        header::LOCATION,
        &format!("/{}", bucket.as_str()),
    );
    response
}

/// There are no access control lists, so the bucket's owner owns all that is in it.
fn check_ownership(asked: Option<&str>) -> S3Result<()> {
    match asked {
        None | Some("BucketOwnerEnforced") => Ok(()),
        Some("BucketOwnerPreferred" | "ObjectWriter") => {
            Err(S3Error::new(S3Code::NotImplemented).element("Header", "x-amz-object-ownership"))
        }
        Some(other) => Err(invalid_argument(
            "x-amz-object-ownership",
            other,
            "Invalid x-amz-object-ownership header",
        )),
    }
}

/// A constraint must be this server's region; none at all is always right.
fn check_location(constraint: Option<&str>, region: &str) -> S3Result<()> {
    match constraint {
        None => Ok(()),
        Some("EU") if region == "eu-west-1" => Ok(()),
        Some(constraint) if constraint == region => Ok(()),
        Some(constraint) => Err(S3Error::with_message(
            S3Code::IllegalLocationConstraintException,
            format!(
                "The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to."
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_can_only_be_where_the_server_is() {
        assert!(check_location(None, "us-east-1").is_ok());
        assert!(check_location(Some("us-east-1"), "us-east-1").is_ok());
        assert!(check_location(Some("EU"), "eu-west-1").is_ok());
        let error = check_location(Some("eu-west-1"), "us-east-1").unwrap_err();
        assert_eq!(error.code(), S3Code::IllegalLocationConstraintException);
    }
}
