//! Who may do what: each request comes by here before anything of it is looked at.
//!
//! A bucket is its account's, whose root may do everything that the bucket's policy does not deny. Users and sessions of the account may do what
//! their own policies or the bucket's allow. Others, and requests without a signature, reach it only where its policy or its access control
//! list lets them, and of another account only those whom its own policies let as well.
//!
//! Invariant: this is the one place that decides; what an operation learns only from its body (the keys of `DeleteObjects`, the tags of
//! `PutObjectTagging`), it asks here once it has read it. Whoever may not list a bucket does not learn here which keys are not there.

mod access;
mod context;
mod judge;
mod needs;
mod object;

use larder_policy::Request;
use larder_storage::objects::{AccountId, BucketName, ObjectKey, StoreError, Tags};

use super::Call;
use crate::{
    audit::{PolicyOf, Say},
    error::{S3Code, S3Error, S3Result},
    route::{Operation, Target},
};

pub(super) use access::{Access, BucketPolicy, is_known};
use context::Facts;
pub(super) use judge::Judge;
pub use object::Decided;

/// The condition key of a write that fails where there is an object already. Where a member's policies allow a write only with it, the server
/// writes on that condition whatever the request says.
const CREATE_ONLY: &str = "larder:CreateOnly";
/// What concerns no bucket.
const ANYTHING: &str = "arn:aws:s3:::*";
const EXPECTED_OWNER: &str = "x-amz-expected-bucket-owner";
const EXPECTED_SOURCE_OWNER: &str = "x-amz-source-expected-bucket-owner";

/// What somebody who asked for an object that is not there is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// That it is not there.
    Told,
    /// Nothing: the caller may not list the bucket.
    Hidden,
}

impl Missing {
    /// `error`, unless it tells too much.
    pub(super) fn hide(self, error: S3Error) -> S3Error {
        let tells = matches!(
            error.code(),
            S3Code::NoSuchKey | S3Code::NoSuchVersion | S3Code::MethodNotAllowed
        );
        match self {
            Self::Hidden if tells => S3Error::new(S3Code::AccessDenied).source_of(error),
            _ => error,
        }
    }
}

/// What is known of a request that is allowed.
#[derive(Debug)]
pub(super) struct Checked {
    /// What it is told of what is not there.
    pub(super) missing: Missing,
    /// Whether the caller may write only what is not there yet.
    pub(super) must_be_new: bool,
    /// What that rested on.
    pub(super) decided: Decided,
}

impl Checked {
    /// Nothing of an object had a say, and all is told.
    const FREELY: Self = Self {
        missing: Missing::Told,
        must_be_new: false,
        decided: Decided::Without,
    };
}

/// What is asked for: an object, or some version of it, or where there is no key the bucket itself.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    bucket: &'a BucketName,
    key: Option<&'a ObjectKey>,
    version: Option<&'a str>,
    /// Tags that the request is about to set, where its body has them.
    new_tags: Option<&'a Tags>,
    /// The lock, likewise.
    new_lock: NewLock<'a>,
    /// The object, where its owner and list have a say.
    object: &'a Decided,
    /// Whether it is written only if there is none.
    is_create_only: bool,
}

/// A lock that a request's body asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewLock<'a> {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub(super) mode: Option<&'a str>,
    /// Until when.
    pub(super) until: Option<&'a str>,
    /// `ON` or `OFF`.
    pub(super) legal_hold: Option<&'a str>,
}

impl<'a> Subject<'a> {
    fn of(bucket: &'a BucketName, key: Option<&'a ObjectKey>, version: Option<&'a str>) -> Self {
        Self {
            bucket,
            key,
            version,
            new_tags: None,
            new_lock: NewLock::default(),
            object: &Decided::Without,
            is_create_only: false,
        }
    }

    fn arn(&self) -> String {
        match self.key {
            Some(key) => format!("arn:aws:s3:::{}/{}", self.bucket, key.as_str()),
            None => format!("arn:aws:s3:::{}", self.bucket),
        }
    }
}

/// Refuses whoever may not do `operation` with `target`, and requests for a bucket of somebody else than they expect.
///
/// # Errors
/// [`S3Code::AccessDenied`]; [`S3Code::InvalidBucketOwner`] for an expected owner that is no account.
pub(super) async fn check(
    operation: Operation,
    target: &Target,
    call: &Call<'_>,
) -> S3Result<Checked> {
    let (bucket, key) = match target {
        Target::Bucket(bucket) if operation == Operation::CreateBucket => {
            let arn = format!("arn:aws:s3:::{bucket}");
            return check_own(needs::of_new_bucket(call), &arn, call);
        }
        Target::Service => return check_own(vec!["s3:ListAllMyBuckets"], ANYTHING, call),
        Target::Bucket(bucket) => (bucket, None),
        Target::Object(bucket, key) => (bucket, Some(key)),
    };
    let Some(access) = open(bucket, EXPECTED_OWNER, call).await? else {
        return Ok(Checked::FREELY);
    };
    let of_object = access.lists_count() && needs::is_of_the_list(operation);
    if access.is_free() && !of_object {
        call.trail.free("owner");
        return Ok(Checked::FREELY);
    }
    let version = call.query.get("versionId").filter(|_| key.is_some());
    let decided = match key.filter(|_| of_object) {
        Some(key) => found(bucket, key, version, call).await?,
        None => Decided::Without,
    };
    let subject = Subject {
        object: &decided,
        ..Subject::of(bucket, key, version)
    };
    if access.is_root() && needs::is_of_the_policy_itself(operation) {
        call.trail.free("owner");
        return Ok(Checked::FREELY);
    }
    if operation == Operation::DeleteObjects && !access.may_allow("s3:DeleteObject") {
        return Err(S3Code::AccessDenied.into());
    }
    let judge = Judge::new(access, call);
    // What depends on the body is asked once it is read.
    let is_later = match operation {
        Operation::PutObjectTagging | Operation::PostObject => judge.access.looks_at_new_tags(),
        Operation::PutObjectRetention | Operation::PutObjectLegalHold => {
            judge.access.looks_at_new_lock()
        }
        _ => false,
    };
    for action in needs::actions(operation, call)
        .into_iter()
        .filter(|_| !is_later)
    {
        judge.require(action, &subject).await?;
    }
    if needs::is_of_the_policy_itself(operation) && !judge.access.is_of_owner() {
        return Err(S3Code::MethodNotAllowed.into());
    }
    let tells = needs::tells_what_is_missing(operation);
    let missing = judge.missing(&subject, tells).await?;
    let must_be_new = judge.must_be_new();
    Ok(Checked {
        missing,
        must_be_new,
        decided,
    })
}

/// Refuses whoever may not do what is asked of their own account.
fn check_own(actions: Vec<&'static str>, arn: &str, call: &Call<'_>) -> S3Result<Checked> {
    let account = account(call)?;
    let Some(member) = call.caller.member() else {
        call.trail.free("account");
        return Ok(Checked::FREELY);
    };
    let facts = Facts::new(account, call);
    let context = facts.of_service();
    for action in actions {
        let request = Request {
            requester: facts.requester(),
            action,
            resource: arn,
            context: &context,
        };
        let decision = member.grants.decide(&request, None, true);
        let statement = decision.statement.map(|found| (PolicyOf::Caller, found));
        call.trail.ruled(action, decision.verdict, statement);
        call.trail
            .decided(action, decision.is_allowed(), Say::Bucket);
        if !decision.is_allowed() {
            return Err(S3Code::AccessDenied.into());
        }
    }
    Ok(Checked::FREELY)
}

/// Refuses whoever may not give a bucket that is to be made tags.
///
/// # Errors
/// As [`check`].
pub(super) fn check_new_bucket_tags(bucket: &BucketName, call: &Call<'_>) -> S3Result<()> {
    let arn = format!("arn:aws:s3:::{bucket}");
    check_own(vec!["s3:TagResource"], &arn, call).map(drop)
}

/// An object whose owner and list have a say.
async fn found(
    bucket: &BucketName,
    key: &ObjectKey,
    version: Option<&str>,
    call: &Call<'_>,
) -> S3Result<Decided> {
    let version = version.map(super::call::parse_version).transpose()?;
    Ok(Decided::read(call.store, bucket, key, version).await?)
}

/// Refuses whoever may not read what is to be copied.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_source(
    bucket: &BucketName,
    key: &ObjectKey,
    version: Option<&str>,
    call: &Call<'_>,
) -> S3Result<Checked> {
    let Some(access) = open(bucket, EXPECTED_SOURCE_OWNER, call).await? else {
        return Ok(Checked::FREELY);
    };
    if access.is_free() && !access.lists_count() {
        return Ok(Checked::FREELY);
    }
    let decided = if access.lists_count() {
        found(bucket, key, version, call).await?
    } else {
        Decided::Without
    };
    let subject = Subject {
        object: &decided,
        ..Subject::of(bucket, Some(key), version)
    };
    let judge = Judge::new(access, call);
    let action = needs::versioned(version.is_some(), "s3:GetObject", "s3:GetObjectVersion");
    judge.require(action, &subject).await?;
    let missing = judge.missing(&subject, true).await?;
    Ok(Checked {
        missing,
        must_be_new: false,
        decided,
    })
}

/// What decides about deletions of many keys, one by one; `None` where all are allowed.
///
/// # Errors
/// As [`check`].
pub(super) async fn deletions<'a>(
    bucket: &BucketName,
    call: &'a Call<'_>,
) -> S3Result<Option<Judge<'a>>> {
    let access = open(bucket, EXPECTED_OWNER, call).await?;
    let access = access.filter(|access| !access.is_free());
    Ok(access.map(|access| Judge::new(access, call)))
}

/// Refuses tags that the bucket's policy does not let the caller set. Nothing is asked twice: where no policy looks at new tags, [`check`]
/// has decided already.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_tags(
    bucket: &BucketName,
    key: &ObjectKey,
    tags: &Tags,
    call: &Call<'_>,
) -> S3Result<()> {
    let access = open(bucket, EXPECTED_OWNER, call).await?;
    let Some(access) = access.filter(Access::looks_at_new_tags) else {
        return Ok(());
    };
    let version = call.query.get("versionId");
    let subject = Subject {
        new_tags: Some(tags),
        ..Subject::of(bucket, Some(key), version)
    };
    let judge = Judge::new(access, call);
    let is_versioned = version.is_some();
    let action = needs::versioned(
        is_versioned,
        "s3:PutObjectTagging",
        "s3:PutObjectVersionTagging",
    );
    judge.require(action, &subject).await
}

/// As [`check_tags`], for an upload by form, whose tags are a field of it. Says whether the caller may write only what is not there yet, where
/// that is decided here.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_form(
    bucket: &BucketName,
    key: &ObjectKey,
    tags: &Tags,
    call: &Call<'_>,
) -> S3Result<bool> {
    let access = open(bucket, EXPECTED_OWNER, call).await?;
    let has_tags = !tags.0.is_empty();
    let is_open = |access: &Access| !access.is_free() && (has_tags || access.looks_at_new_tags());
    let Some(access) = access.filter(is_open) else {
        return Ok(false);
    };
    let subject = Subject {
        new_tags: Some(tags),
        ..Subject::of(bucket, Some(key), None)
    };
    let judge = Judge::new(access, call);
    for action in needs::actions(Operation::PostObject, call) {
        judge.require(action, &subject).await?;
    }
    if has_tags {
        judge.require("s3:PutObjectTagging", &subject).await?;
    }
    Ok(judge.must_be_new())
}

/// As [`check_tags`], for the lock of an object; `lock` says which of its two actions it is.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_lock(
    bucket: &BucketName,
    key: &ObjectKey,
    lock: NewLock<'_>,
    call: &Call<'_>,
) -> S3Result<()> {
    let access = open(bucket, EXPECTED_OWNER, call).await?;
    let Some(access) = access.filter(Access::looks_at_new_lock) else {
        return Ok(());
    };
    let subject = Subject {
        new_lock: lock,
        ..Subject::of(bucket, Some(key), call.query.get("versionId"))
    };
    let judge = Judge::new(access, call);
    if lock.legal_hold.is_some() {
        return judge.require("s3:PutObjectLegalHold", &subject).await;
    }
    judge.require("s3:PutObjectRetention", &subject).await?;
    if needs::bypasses_governance(call) {
        judge
            .require("s3:BypassGovernanceRetention", &subject)
            .await?;
    }
    Ok(())
}

/// The account that asks.
///
/// # Errors
/// [`S3Code::AccessDenied`] for nobody.
pub(super) fn account(call: &Call<'_>) -> S3Result<AccountId> {
    let account = call.caller.account().map(|account| account.id);
    account.ok_or_else(|| S3Code::AccessDenied.into())
}

/// What decides about `bucket`; `None` where there is none, which the operation says in its own words.
async fn open(bucket: &BucketName, header: &str, call: &Call<'_>) -> S3Result<Option<Access>> {
    let expected = expected_owner(header, call)?;
    let access = match Access::of(bucket, call).await {
        Ok(access) => access,
        Err(StoreError::NoSuchBucket) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if expected.is_some_and(|expected| expected != access.owner) {
        return Err(S3Code::AccessDenied.into());
    }
    Ok(Some(access))
}

fn expected_owner(header: &str, call: &Call<'_>) -> S3Result<Option<AccountId>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let message =
                "The value of the expected bucket owner parameter must be an AWS account ID";
            S3Error::with_message(S3Code::InvalidBucketOwner, message)
                .element("ExpectedBucketOwner", text)
        })
    };
    call.header(header).map(parse).transpose()
}
