//! Access control lists of objects: `GetObjectAcl`, `PutObjectAcl`, and the list and owner that a new object gets.
//!
//! Where the bucket's ownership controls let lists count, whoever writes an object owns it, and it has a list. Elsewhere both are kept
//! but mean nothing: the bucket's owner owns all.

use http::HeaderName;
use larder_storage::objects::{BucketName, ObjectAcl, ObjectKey, ObjectOwner, SetAcl};

use super::{Call, acl, call::invalid_argument, owners::Owners};
use crate::{
    access::{Acl, Ownership},
    error::{S3Code, S3Result},
    http::Response,
    reply,
};

/// Of buckets only.
const LOG_DELIVERY: &str = "log-delivery-write";

pub(super) async fn get(
    bucket: &BucketName,
    key: &ObjectKey,
    call: Call<'_>,
) -> S3Result<Response> {
    let handle = call.object(bucket, key).await?;
    let info = handle.info();
    let owners = Owners::of(bucket, &call, [info.acl.owner]).await?;
    let owner = owners.of_object(info.acl.owner);
    let kept = info.acl.list.as_deref().filter(|_| owners.lists_count());
    let acl = kept.map_or_else(|| Acl::private(&owner.id), Acl::from_document);
    let mut response = reply::xml(acl::shown(&acl, owner, &call.app.accounts));
    reply::set_version(response.headers_mut(), info.version);
    Ok(response)
}

/// The list is set on the version that was decided about, and only as long as its owner and list are those that were decided by.
pub(super) async fn put(
    bucket: &BucketName,
    key: &ObjectKey,
    mut call: Call<'_>,
) -> S3Result<Response> {
    check_canned(&call)?;
    let handle = call.object(bucket, key).await?;
    let (seen, version) = (handle.info().acl.clone(), handle.info().version);
    let owners = Owners::of(bucket, &call, [seen.owner]).await?;
    let owner = &owners.of_object(seen.owner).id;
    let acl = acl::asked(owner, &owners.of_bucket().id, &mut call).await?;
    if !owners.lists_count() {
        return acl::unless_shared(&acl, owner, S3Code::AccessControlListNotSupported.into());
    }
    acl::check_public(&acl, bucket, &call).await?;
    let list = kept(&acl, owner);
    let set = call
        .store
        .set_acl(bucket, key, version, SetAcl { seen, list })
        .await;
    set.map_err(|error| call.missing(error, key))?;
    let mut response = reply::empty();
    reply::set_version(response.headers_mut(), version);
    Ok(response)
}

/// Who is to own an object that the request writes, and whom it is to let in.
///
/// # Errors
/// [`S3Code::AccessControlListNotSupported`] where lists don't count, for all that let anybody in but the bucket's owner;
/// [`S3Code::AccessDenied`] for a public list where those are blocked; those of the headers.
pub(super) async fn of_new(bucket: &BucketName, call: &Call<'_>) -> S3Result<ObjectAcl> {
    let is_asked = acl::is_asked(call.headers());
    let owner = writer(bucket, call).await?;
    if !is_asked && owner.is_none() {
        return Ok(ObjectAcl::default());
    }
    check_canned(call)?;
    let ownership = acl::ownership(bucket, call).await?;
    if ownership == Ownership::BucketOwnerEnforced {
        return check_harmless(call).map(|()| ObjectAcl::default());
    }
    let gives_all = acl::canned(call.headers()) == Some("bucket-owner-full-control");
    if ownership == Ownership::BucketOwnerPreferred && gives_all {
        // With grants beside it, it is refused as anywhere.
        let id = Owners::of(bucket, call, []).await?.of_bucket().id.clone();
        acl::from_headers(call.headers(), &id, &id, &call.app.accounts)?;
        return Ok(ObjectAcl::default());
    }
    let owners = Owners::of(bucket, call, [owner]).await?;
    let (id, of_bucket) = (&owners.of_object(owner).id, &owners.of_bucket().id);
    let asked = acl::from_headers(call.headers(), id, of_bucket, &call.app.accounts)?;
    let Some(asked) = asked else {
        return Ok(ObjectAcl { owner, list: None });
    };
    acl::check_public(&asked, bucket, call).await?;
    let list = kept(&asked, id);
    Ok(ObjectAcl { owner, list })
}

/// Who writes, unless it is the bucket's owner.
async fn writer(bucket: &BucketName, call: &Call<'_>) -> S3Result<Option<ObjectOwner>> {
    let of_bucket = call.store.bucket_owner(bucket).await?;
    Ok(match call.caller.account() {
        None => Some(ObjectOwner::Anonymous),
        Some(account) if account.id == of_bucket => None,
        Some(account) => Some(ObjectOwner::Account(account.id)),
    })
}

/// Nothing is kept of a list that lets nobody in but its owner.
fn kept(acl: &Acl, owner: &str) -> Option<Vec<u8>> {
    (*acl != Acl::private(owner)).then(|| acl.to_document())
}

fn check_canned(call: &Call<'_>) -> S3Result<()> {
    match acl::canned(call.headers()) {
        Some(LOG_DELIVERY) => Err(invalid_argument(acl::CANNED, LOG_DELIVERY, String::new())),
        _ => Ok(()),
    }
}

fn check_harmless(call: &Call<'_>) -> S3Result<()> {
    let canned = acl::canned(call.headers());
    let is_plain = matches!(canned, None | Some("private" | "bucket-owner-full-control"));
    let mut names = call.headers().keys().map(HeaderName::as_str);
    if is_plain && !names.any(|name| name.starts_with(acl::GRANTS)) {
        return Ok(());
    }
    Err(S3Code::AccessControlListNotSupported.into())
}
