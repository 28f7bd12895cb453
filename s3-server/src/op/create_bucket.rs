//! `CreateBucket`.

use http::header;
use larder_storage::objects::{
    AccountId, BucketLock, BucketName, CreateBucket, Profile, Store, StoreError,
};

use super::{
    Call, acl, authorize,
    call::{check_unbuilt_headers, invalid_argument, text},
    ownership_controls, small_body,
};
use crate::{
    access::{Acl, Ownership},
    config::{DEFAULT_REGION, ProfileSetting},
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply::{self, X_LARDER_PROFILE},
    xml::{
        parse::{MAX_SMALL_BYTES, create_bucket_configuration},
        write,
    },
};

pub(super) async fn run(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    check_unbuilt_headers(call.headers())?;
    let lock = object_lock(text(call.headers(), "x-amz-bucket-object-lock-enabled"))?;
    let profile = profile(text(call.headers(), X_LARDER_PROFILE), call.store)?;
    let owner = authorize::account(&call)?;
    let access = Access::asked(owner, &call)?;
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let region = &call.app.region;
    let asked = create_bucket_configuration(&body)?;
    check_location(asked.location.as_deref(), region)?;
    if asked.tags.is_some() {
        authorize::check_new_bucket_tags(bucket, &call)?;
    }
    let create = CreateBucket {
        region: region.clone(),
        owner,
        lock,
        profile,
        tags: asked.tags.as_ref().map(|tags| write::tagging(tags).into()),
        ..CreateBucket::new(bucket.clone())
    };
    match call.store.create_bucket(create).await {
        Ok(_) => {
            access.set(bucket, &call).await?;
            Ok(answer(bucket))
        }
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

/// What a new bucket is to say about access.
struct Access {
    /// `None`: as the server has it.
    ownership: Option<Ownership>,
    acl: Option<Acl>,
}

impl Access {
    /// A bucket whose owner owns all that is in it takes no list that lets others in.
    fn asked(owner: AccountId, call: &Call<'_>) -> S3Result<Self> {
        let ownership = ownership(text(call.headers(), OWNERSHIP))?;
        let holds = ownership.unwrap_or(call.app.default_ownership);
        let is_enforced = holds == Ownership::BucketOwnerEnforced;
        let refusal = || S3Error::new(S3Code::InvalidBucketAclWithObjectOwnership);
        let mut names = call.headers().keys();
        if is_enforced && names.any(|name| name.as_str().starts_with("x-amz-grant-")) {
            return Err(refusal());
        }
        let accounts = &call.app.accounts;
        let owner = accounts.owner(owner).id;
        let acl = acl::from_headers(call.headers(), &owner, &owner, accounts)?;
        let acl = acl.filter(|acl| acl.is_shared(&owner));
        if acl.is_some() && is_enforced {
            return Err(refusal());
        }
        Ok(Self { ownership, acl })
    }

    /// After the bucket is there: until then, and after a crash in between, it is its owner's alone.
    async fn set(&self, bucket: &BucketName, call: &Call<'_>) -> S3Result<()> {
        if let Some(ownership) = self.ownership {
            ownership_controls::set(bucket, ownership, call).await?;
        }
        if let Some(acl) = &self.acl {
            acl::set_bucket(bucket, acl, call).await?;
        }
        Ok(())
    }
}

const OWNERSHIP: &str = "x-amz-object-ownership";

fn ownership(asked: Option<&str>) -> S3Result<Option<Ownership>> {
    let parse = |text| {
        let message = "Invalid x-amz-object-ownership header";
        Ownership::parse(text).ok_or_else(|| invalid_argument(OWNERSHIP, text, message))
    };
    asked.map(parse).transpose()
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

/// A profile that the bucket can have.
fn profile(asked: Option<&str>, store: &Store) -> S3Result<Option<Profile>> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let refused = |why: String| invalid_argument(X_LARDER_PROFILE, asked, why);
    let profile = asked.parse().and_then(ProfileSetting::profile);
    let profile = profile.map_err(refused)?;
    match store.check_profile(profile) {
        Ok(()) => Ok(Some(profile)),
        Err(why) => Err(refused(why.to_string())),
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
