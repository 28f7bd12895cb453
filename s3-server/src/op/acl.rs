//! Access control lists: `GetBucketAcl`, `PutBucketAcl`, and how lists are asked for and shown. Those of objects are in [`super::object_acl`].

use http::{HeaderMap, HeaderName};
use larder_storage::objects::{BucketName, DocumentKind};

use super::{
    Call,
    call::{invalid_argument, text},
    listing, small_body,
};
use crate::{
    access::{
        Acl, Canned, Grant, Grantee, MAX_GRANTS, Ownership, Permission, PublicAccessBlock,
        is_well_known,
    },
    accounts::Accounts,
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        parse::{MAX_SMALL_BYTES, NamedGrantee, access_control_policy},
        write::{self, Owner, ShownGrantee},
    },
};

/// The header with the name of a list.
pub(super) const CANNED: &str = "x-amz-acl";
/// What headers with grants begin with.
pub(super) const GRANTS: &str = "x-amz-grant-";

pub(super) async fn get_bucket(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let owner = listing::owner(&call, bucket).await?;
    let kept = match ownership(bucket, &call).await? {
        Ownership::BucketOwnerEnforced => None,
        _ => Acl::of_bucket(bucket, call.store).await?,
    };
    let private = Acl::private(&owner.id);
    let acl = kept.as_deref().unwrap_or(&private);
    Ok(reply::xml(shown(acl, &owner, &call.app.accounts)))
}

pub(super) async fn put_bucket(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let owner = listing::owner(&call, bucket).await?;
    let acl = asked(&owner.id, &owner.id, &mut call).await?;
    if ownership(bucket, &call).await? == Ownership::BucketOwnerEnforced {
        return unless_shared(
            &acl,
            &owner.id,
            S3Code::AccessControlListNotSupported.into(),
        );
    }
    check_public(&acl, bucket, &call).await?;
    set_bucket(bucket, &acl, &call).await?;
    Ok(reply::empty())
}

/// The list that a request is about to set, from its headers or its body; `owner` and `bucket_owner` are canonical ids.
///
/// # Errors
/// [`S3Code::MalformedAcl`], [`S3Code::UnexpectedContent`], [`S3Code::MissingSecurityHeader`], [`S3Code::AccessDenied`], and those of
/// [`from_headers`].
pub(super) async fn asked(owner: &str, bucket_owner: &str, call: &mut Call<'_>) -> S3Result<Acl> {
    let body = small_body::read(call, MAX_SMALL_BYTES).await?;
    let has_body = !body.trim_ascii().is_empty();
    match from_headers(call.headers(), owner, bucket_owner, &call.app.accounts)? {
        Some(_) if has_body => Err(S3Code::UnexpectedContent.into()),
        Some(acl) => Ok(acl),
        None if has_body => from_body(&body, owner, &call.app.accounts),
        None => Err(missing_header()),
    }
}

/// As AWS has it, a list that gives its owner everything and nobody else anything can be set where none counts: nothing changes.
///
/// # Errors
/// `refusal` for any other list.
pub(super) fn unless_shared(acl: &Acl, owner: &str, refusal: S3Error) -> S3Result<Response> {
    if *acl == Acl::private(owner) {
        return Ok(reply::empty());
    }
    Err(refusal)
}

/// Keeps the list of a bucket.
///
/// # Errors
/// Those of the store.
pub(super) async fn set_bucket(bucket: &BucketName, acl: &Acl, call: &Call<'_>) -> S3Result<()> {
    let document = acl.to_document();
    let set = call
        .store
        .set_document(bucket, DocumentKind::Acl, Some(&document));
    Ok(set.await?)
}

/// The name of the list that a request asks for.
pub(super) fn canned(headers: &HeaderMap) -> Option<&str> {
    text(headers, CANNED)
}

/// Whether a request comes with a list in its headers.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let mut names = headers.keys().map(HeaderName::as_str);
    names.any(|name| name == CANNED || name.starts_with(GRANTS))
}

/// What holds for a bucket.
///
/// # Errors
/// Those of the store.
pub(super) async fn ownership(bucket: &BucketName, call: &Call<'_>) -> S3Result<Ownership> {
    Ok(Ownership::of(bucket, call.store, call.app.default_ownership).await?)
}

/// Refuses a public list where those are blocked.
///
/// # Errors
/// [`S3Code::AccessDenied`].
pub(super) async fn check_public(acl: &Acl, bucket: &BucketName, call: &Call<'_>) -> S3Result<()> {
    if !acl.is_public() {
        return Ok(());
    }
    let block = PublicAccessBlock::of(bucket, call.store).await?;
    if block.block_public_acls {
        return Err(S3Code::AccessDenied.into());
    }
    Ok(())
}

/// The list that a request's headers ask for; `owner` and `bucket_owner` are canonical ids.
///
/// # Errors
/// [`S3Code::InvalidArgument`], [`S3Code::InvalidRequest`], [`S3Code::MalformedAcl`] for too many grants.
pub(super) fn from_headers(
    headers: &HeaderMap,
    owner: &str,
    bucket_owner: &str,
    accounts: &Accounts,
) -> S3Result<Option<Acl>> {
    let canned = text(headers, CANNED).map(|name| {
        Canned::parse(name).ok_or_else(|| invalid_argument(CANNED, name, String::new()))
    });
    let canned = canned.transpose()?;
    let mut grants = Vec::new();
    for permission in Permission::ALL {
        let name = HeaderName::from_static(permission.header());
        for value in headers.get_all(name).iter().filter_map(|v| v.to_str().ok()) {
            for grantee in grantees(permission.header(), value, accounts)? {
                grants.push(Grant {
                    grantee,
                    permission,
                });
            }
        }
    }
    if grants.len() > MAX_GRANTS {
        return Err(S3Code::MalformedAcl.into());
    }
    match (canned, grants.is_empty()) {
        (Some(_), false) => {
            let message = "Specifying both Canned ACLs and Header Grants is not allowed";
            Err(S3Error::with_message(S3Code::InvalidRequest, message))
        }
        (Some(canned), true) => Ok(Some(Acl::canned(canned, owner, bucket_owner))),
        (None, false) => Ok(Some(Acl { grants })),
        (None, true) => Ok(None),
    }
}

/// `id="…", uri="…", emailAddress="…"`.
fn grantees(header: &str, value: &str, accounts: &Accounts) -> S3Result<Vec<Grantee>> {
    let one = |text: &str| {
        let bad = || invalid_argument(header, value, "Argument format not recognized");
        let (kind, name) = text.trim().split_once('=').ok_or_else(bad)?;
        let name = name.trim().trim_matches('"').to_owned();
        let named = match kind.trim() {
            kind if kind.eq_ignore_ascii_case("id") => NamedGrantee::Id(name),
            kind if kind.eq_ignore_ascii_case("uri") => NamedGrantee::Uri(name),
            kind if kind.eq_ignore_ascii_case("emailAddress") => NamedGrantee::Email(name),
            _ => return Err(bad()),
        };
        resolved(&named, accounts)
    };
    value.split(',').map(one).collect()
}

fn from_body(body: &[u8], owner: &str, accounts: &Accounts) -> S3Result<Acl> {
    let asked = access_control_policy(body)
        .map_err(|error| S3Error::new(S3Code::MalformedAcl).source_of(error))?;
    // An owner cannot be given away.
    if asked.owner.is_some_and(|asked| asked != owner) {
        return Err(S3Code::AccessDenied.into());
    }
    let grants = asked.grants.iter().map(|(named, permission)| {
        Ok(Grant {
            grantee: resolved(named, accounts)?,
            permission: *permission,
        })
    });
    Ok(Acl {
        grants: grants.collect::<S3Result<_>>()?,
    })
}

/// Somebody who is there.
fn resolved(named: &NamedGrantee, accounts: &Accounts) -> S3Result<Grantee> {
    let account = |id: &str| Grantee::Canonical(id.to_owned());
    match named {
        NamedGrantee::Id(id) => match accounts.of_canonical_id(id) {
            Some(found) => Ok(account(&found.canonical_id)),
            None if is_well_known(id) => Ok(account(id)),
            None => Err(invalid_argument("CanonicalUser/ID", id, "Invalid id")),
        },
        NamedGrantee::Uri(uri) => Grantee::group(uri)
            .ok_or_else(|| invalid_argument("Group/URI", uri, "Invalid group uri")),
        NamedGrantee::Email(email) => match accounts.of_email(email) {
            Some(found) => Ok(account(&found.canonical_id)),
            None => Err(S3Error::new(S3Code::UnresolvableGrantByEmailAddress)
                .element("EmailAddress", email)),
        },
    }
}

fn missing_header() -> S3Error {
    let message = "Your request was missing a required header";
    S3Error::with_message(S3Code::MissingSecurityHeader, message)
        .element("MissingHeaderName", CANNED)
}

/// As AWS shows a list; an account that is gone has its id alone.
pub(super) fn shown(acl: &Acl, owner: &Owner, accounts: &Accounts) -> String {
    let account = |id: &String| {
        let known = accounts.of_canonical_id(id).map(|account| account.owner());
        let unknown = || Owner {
            id: id.clone(),
            display_name: String::new(),
        };
        ShownGrantee::Account(known.unwrap_or_else(unknown))
    };
    let grants = acl.grants.iter().map(|grant| {
        let grantee = match &grant.grantee {
            Grantee::Canonical(id) => account(id),
            group => ShownGrantee::Group(group.uri().unwrap_or_default()),
        };
        (grantee, grant.permission.as_str())
    });
    write::access_control_policy(owner, &grants.collect::<Vec<_>>())
}
