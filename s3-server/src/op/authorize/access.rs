//! What a bucket says about who may do what with it.

use std::sync::Arc;

use larder_policy::{NamedPrincipal, Policy, PolicyError, bucket};
use larder_storage::objects::{
    AccountId, BucketName, DocumentKind, ObjectAcl, ObjectOwner, StoreError,
};

use super::object;
use crate::{
    access::{ANONYMOUS_ID, Acl, Grantee, Ownership, Permission, PublicAccessBlock},
    accounts::Caller,
    app::App,
    iam::Member,
    op::Call,
};

/// Condition keys of the tags of an object, and of tags that are about to be set.
pub(super) const EXISTING_TAGS: &str = "s3:ExistingObjectTag/";
const NEW_TAGS: &str = "s3:RequestObjectTag/";
const NEW_TAG_KEYS: &str = "s3:RequestObjectTagKeys";
/// Condition keys of a lock that is about to be set.
const LOCK_KEYS: [&str; 4] = [
    "s3:object-lock-mode",
    "s3:object-lock-legal-hold",
    "s3:object-lock-retain-until-date",
    "s3:object-lock-remaining-retention-days",
];

/// A bucket's policy with what is asked of it each time.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "questions, each asked by itself"
)]
pub(in crate::op) struct BucketPolicy {
    pub(in crate::op) policy: Policy,
    pub(in crate::op) is_public: bool,
    pub(super) looks_at_existing_tags: bool,
    looks_at_new_tags: bool,
    looks_at_new_lock: bool,
}

impl BucketPolicy {
    /// Reads a policy that somebody wants to set.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub(in crate::op) fn parse(
        document: &[u8],
        bucket: &str,
        is_known: impl Fn(&NamedPrincipal) -> bool,
    ) -> Result<Self, PolicyError> {
        let policy = bucket::parse(document, bucket, is_known)?;
        Ok(Self {
            is_public: policy.is_public(),
            looks_at_existing_tags: policy.looks_at(EXISTING_TAGS),
            looks_at_new_tags: policy.looks_at(NEW_TAGS) || policy.looks_at(NEW_TAG_KEYS),
            looks_at_new_lock: LOCK_KEYS.iter().any(|key| policy.looks_at(key)),
            policy,
        })
    }
}

/// Whether there is somebody called so, as far as Larder can know.
pub(in crate::op) fn is_known(principal: &NamedPrincipal, app: &App) -> bool {
    let accounts = &app.accounts;
    let is_account = |id: &str| id.parse().is_ok_and(|id| accounts.of_id(id).is_some());
    match principal {
        NamedPrincipal::Everyone | NamedPrincipal::Service(_) | NamedPrincipal::Federated(_) => {
            true
        }
        NamedPrincipal::Account { id, .. } => is_account(id),
        NamedPrincipal::Arn { account, arn } => {
            let account = account.parse().ok();
            account.is_some_and(|account| app.directory.has(account, arn))
        }
        NamedPrincipal::Canonical(id) => accounts.of_canonical_id(id).is_some(),
    }
}

/// What a bucket says, and who asks.
#[derive(Debug)]
pub(in crate::op) struct Access {
    pub(in crate::op) owner: AccountId,
    pub(super) policy: Option<Arc<BucketPolicy>>,
    /// Read only where somebody else than the owner asks.
    pub(super) block: PublicAccessBlock,
    /// The bucket's own list, where it counts; as the block.
    acl: Option<Arc<Acl>>,
    /// Whether lists count, that of the bucket and those of objects.
    lists_count: bool,
    caller: Caller,
}

impl Access {
    /// Nothing is read that was read before and has not changed since.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`].
    pub(super) async fn of(bucket: &BucketName, call: &Call<'_>) -> Result<Self, StoreError> {
        let owner = call.store.bucket_owner(bucket).await?;
        let policy = policy(bucket, call).await?;
        let mut access = Self {
            owner,
            policy,
            block: PublicAccessBlock::default(),
            acl: None,
            lists_count: lists_count(bucket, call).await?,
            caller: call.caller.clone(),
        };
        if !access.is_of_owner() {
            access.block = PublicAccessBlock::of(bucket, call.store).await?;
            if access.lists_count {
                access.acl = Acl::of_bucket(bucket, call.store).await?;
            }
        }
        Ok(access)
    }

    /// Whether access control lists count.
    pub(super) fn lists_count(&self) -> bool {
        self.lists_count
    }

    /// Whether everything is allowed, but what is for the owners of objects to say.
    pub(super) fn is_free(&self) -> bool {
        self.policy.is_none() && self.is_root()
    }

    /// Whether somebody of the account asks that owns the bucket.
    pub(super) fn is_of_owner(&self) -> bool {
        self.caller
            .account()
            .is_some_and(|account| account.id == self.owner)
    }

    /// Whether the root of the owner's account asks.
    pub(super) fn is_root(&self) -> bool {
        self.is_of_owner() && self.member().is_none()
    }

    /// Who asks, where their own policies have a say.
    pub(super) fn member(&self) -> Option<&Member> {
        self.caller.member().map(|member| &**member)
    }

    /// Whether what somebody may do depends on the tags that they set.
    pub(super) fn looks_at_new_tags(&self) -> bool {
        let of_bucket = self.policy.as_ref();
        of_bucket.is_some_and(|policy| policy.looks_at_new_tags)
            || self.member().is_some_and(|member| {
                member.grants.looks_at(NEW_TAGS) || member.grants.looks_at(NEW_TAG_KEYS)
            })
    }

    /// Whether it depends on the lock that they set.
    pub(super) fn looks_at_new_lock(&self) -> bool {
        let of_bucket = self.policy.as_ref();
        of_bucket.is_some_and(|policy| policy.looks_at_new_lock)
            || self.member().is_some_and(|member| {
                let mut keys = LOCK_KEYS.iter();
                keys.any(|key| member.grants.looks_at(key))
            })
    }

    /// Whether there is anything that could allow this to the caller.
    pub(super) fn may_allow(&self, action: &str) -> bool {
        self.policy.is_some() || self.is_of_owner() || self.is_granted(action)
    }

    /// Whether the bucket's access control list lets the caller do this.
    pub(super) fn is_granted(&self, action: &str) -> bool {
        let (Some(acl), Some(permission)) = (&self.acl, permission(action)) else {
            return false;
        };
        acl.grants(permission, |grantee| self.is_grantee(grantee))
    }

    /// Whether an object is the caller's own, or its list lets them do this.
    pub(super) fn is_granted_of(&self, acl: &ObjectAcl, action: &str) -> bool {
        let Some(permission) = object::permission(action) else {
            return false;
        };
        let is_own = match acl.owner {
            Some(ObjectOwner::Account(owner)) => self
                .caller
                .account()
                .is_some_and(|account| account.id == owner),
            Some(ObjectOwner::Anonymous) => {
                self.is_grantee(&Grantee::Canonical(ANONYMOUS_ID.to_owned()))
            }
            None => false,
        };
        let list = acl.list.as_deref().map(Acl::from_document);
        is_own
            || list.is_some_and(|list| list.grants(permission, |grantee| self.is_grantee(grantee)))
    }

    fn is_grantee(&self, grantee: &Grantee) -> bool {
        let account = self.caller.account();
        let counts = !self.block.ignore_public_acls;
        match grantee {
            // That is everybody without credentials.
            Grantee::Canonical(id) if id == ANONYMOUS_ID => account.is_none() && counts,
            Grantee::Canonical(id) => account.is_some_and(|account| account.canonical_id == *id),
            Grantee::AllUsers => counts,
            Grantee::AuthenticatedUsers => account.is_some() && counts,
            Grantee::LogDelivery => false,
        }
    }
}

/// What a bucket's list has to grant for an action. Versions are the owner's to delete. The list of an object that is there is asked
/// elsewhere; whoever may write a new one gives it its list.
fn permission(action: &str) -> Option<Permission> {
    Some(match action {
        "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
            Permission::Read
        }
        "s3:PutObject" | "s3:PutObjectAcl" | "s3:DeleteObject" => Permission::Write,
        "s3:GetBucketAcl" => Permission::ReadAcp,
        "s3:PutBucketAcl" => Permission::WriteAcp,
        _ => return None,
    })
}

async fn policy(
    bucket: &BucketName,
    call: &Call<'_>,
) -> Result<Option<Arc<BucketPolicy>>, StoreError> {
    let found = call.store.document(bucket, DocumentKind::Policy).await?;
    let Some(document) = found else {
        return Ok(None);
    };
    // Whoever was known when the policy was set may be gone; nobody else can take its name.
    let parsed = document
        .parsed(|bytes| BucketPolicy::parse(bytes, bucket.as_str(), |_| true).map(Arc::new));
    match &*parsed {
        Ok(policy) => Ok(Some(Arc::clone(policy))),
        // Nothing is allowed by what nobody can read.
        Err(error) => Err(StoreError::Internal(format!("policy of {bucket}: {error}"))),
    }
}

async fn lists_count(bucket: &BucketName, call: &Call<'_>) -> Result<bool, StoreError> {
    let default = call.app.default_ownership;
    let ownership = Ownership::of(bucket, call.store, default).await?;
    Ok(ownership != Ownership::BucketOwnerEnforced)
}
