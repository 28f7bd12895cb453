//! `CreateBucket`.

use http::{HeaderMap, header};
use larder_storage::objects::{AccountId, BucketLock, BucketName, CreateBucket, StoreError};

use super::{
    Call, authorize,
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
    check_bucket_acl(call.headers())?;
    check_unbuilt_headers(call.headers())?;
    let lock = object_lock(text(call.headers(), "x-amz-bucket-object-lock-enabled"))?;
    check_ownership(text(call.headers(), "x-amz-object-ownership"))?;
    let owner = authorize::account(&call)?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let region = &call.app.region;
    check_location(create_bucket_configuration(&body)?.as_deref(), region)?;
    let create = CreateBucket {
        region: region.clone(),
        owner,
        lock,
        ..CreateBucket::new(bucket.clone())
    };
    match call.store.create_bucket(create).await {
        Ok(_) => Ok(answer(bucket)),
        Err(StoreError::BucketExists) if !is_of(owner, bucket, &call).await? => {
            Err(S3Error::new(S3Code::BucketAlreadyExists).element("BucketName", bucket.as_str()))
        }
        // AWS's oldest region lets its owner make a bucket again, and scripts rely on it.
        Err(StoreError::BucketExists) if region == DEFAULT_REGION => Ok(answer(bucket)),
        Err(StoreError::BucketExists) => {
            Err(S3Error::new(S3Code::BucketAlreadyOwnedByYou)
                .element("BucketName", bucket.as_str()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a bucket that exists is `owner`'s; nobody's if it was deleted meanwhile.
async fn is_of(owner: AccountId, bucket: &BucketName, call: &Call<'_>) -> S3Result<bool> {
    match call.store.bucket_owner(bucket).await {
        Ok(found) => Ok(found == owner),
        Err(StoreError::NoSuchBucket) => Err(S3Code::OperationAborted.into()),
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

/// A bucket whose owner owns all that is in it takes no list that lets others in.
fn check_bucket_acl(headers: &HeaderMap) -> S3Result<()> {
    let canned = text(headers, "x-amz-acl");
    let is_open = canned.is_some_and(|acl| {
        ["public-read", "public-read-write", "authenticated-read"].contains(&acl)
    });
    let grants = headers
        .keys()
        .any(|name| name.as_str().starts_with("x-amz-grant-"));
    if is_open || grants {
        return Err(S3Error::new(S3Code::InvalidBucketAclWithObjectOwnership));
    }
    Ok(())
}

fn object_lock(asked: Option<&str>) -> S3Result<Option<BucketLock>> {
    match asked {
        None => Ok(None),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(None),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(BucketLock::default())),
        Some(other) => Err(invalid_argument(
            "x-amz-bucket-object-lock-enabled",
            other,
            "Invalid x-amz-bucket-object-lock-enabled header",
        )),
    }
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
        Some(constraint) if !could_be_a_region(constraint) => {
            Err(S3Error::new(S3Code::InvalidLocationConstraint)
                .element("LocationConstraint", constraint))
        }
        Some(constraint) => Err(S3Error::with_message(
            S3Code::IllegalLocationConstraintException,
            format!(
                "The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to."
            ),
        )),
    }
}

/// `eu-west-1`, `us-gov-east-1`, `EU`: AWS knows its regions by name, and more of them every year.
fn could_be_a_region(name: &str) -> bool {
    let pieces: Vec<_> = name.split('-').collect();
    let letters = |piece: &&str| !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_lowercase());
    match pieces.as_slice() {
        ["EU"] => true,
        [area, middle @ .., number] => {
            area.len() == 2
                && !middle.is_empty()
                && pieces[..pieces.len() - 1].iter().all(letters)
                && number.len() == 1
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
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
        let error = check_location(Some("us-gov-east-1"), "us-east-1").unwrap_err();
        assert_eq!(error.code(), S3Code::IllegalLocationConstraintException);
        for nowhere in [
            "mars-1",
            "eu-1",
            "eu-west",
            "EUX",
            "eu-west-11",
            "eu--1",
            "-",
        ] {
            let error = check_location(Some(nowhere), "us-east-1").unwrap_err();
            assert_eq!(error.code(), S3Code::InvalidLocationConstraint, "{nowhere}");
        }
    }
}
