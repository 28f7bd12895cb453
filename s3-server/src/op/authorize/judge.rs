//! Decides about one request from all that has a say: the bucket's policy and list, the caller's own policies, the object's owner and list.

use std::sync::atomic::{AtomicBool, Ordering};

use larder_policy::{Decision, Policies, Request, Verdict, combine};
use larder_storage::objects::{BucketName, ObjectKey, StoreError, Tags, VersionId};

use super::{
    CREATE_ONLY, Missing, Subject,
    access::{self, Access, BucketPolicy},
    context::Facts,
    needs,
    object::Decided,
};
use crate::{
    audit::PolicyOf,
    error::{S3Code, S3Result},
    iam::Member,
    op::Call,
};

/// Decides about one request, action by action.
#[derive(Debug)]
pub(in crate::op) struct Judge<'a> {
    pub(super) access: Access,
    call: &'a Call<'a>,
    must_be_new: AtomicBool,
}

impl<'a> Judge<'a> {
    pub(super) fn new(access: Access, call: &'a Call<'a>) -> Self {
        Self {
            access,
            call,
            must_be_new: AtomicBool::new(false),
        }
    }

    /// Whether something was allowed only under the condition that what is written is new.
    pub(super) fn must_be_new(&self) -> bool {
        self.must_be_new.load(Ordering::Relaxed)
    }

    /// Refuses a deletion that is not allowed.
    ///
    /// # Errors
    /// [`S3Code::AccessDenied`].
    pub(in crate::op) async fn require_deletion(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<&str>,
    ) -> S3Result<()> {
        let subject = Subject::of(bucket, Some(key), version);
        let is_versioned = version.is_some();
        let action = needs::versioned(is_versioned, "s3:DeleteObject", "s3:DeleteObjectVersion");
        self.require(action, &subject).await?;
        if needs::bypasses_governance(self.call) {
            self.require("s3:BypassGovernanceRetention", &subject)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn require(
        &self,
        action: &'static str,
        subject: &Subject<'_>,
    ) -> S3Result<()> {
        let mut is_allowed = self.allows(action, subject).await?;
        if !is_allowed && action == "s3:PutObject" && self.may_create(subject).await? {
            self.must_be_new.store(true, Ordering::Relaxed);
            is_allowed = true;
        }
        let say = subject.object.say();
        self.call.trail.decided(action, is_allowed, say);
        if is_allowed {
            return Ok(());
        }
        Err(S3Code::AccessDenied.into())
    }

    pub(super) async fn missing(&self, subject: &Subject<'_>, tells: bool) -> S3Result<Missing> {
        if !tells || self.lists(subject).await? {
            return Ok(Missing::Told);
        }
        Ok(Missing::Hidden)
    }

    /// Whether the caller may list the bucket, and so know what is not in it.
    async fn lists(&self, subject: &Subject<'_>) -> S3Result<bool> {
        const ACTION: &str = "s3:ListBucket";
        let bucket = Subject {
            key: None,
            version: None,
            object: &Decided::Without,
            ..*subject
        };
        Ok(match self.verdict(ACTION, &bucket).await? {
            Verdict::Allow => true,
            Verdict::ExplicitDeny => false,
            Verdict::ImplicitDeny => {
                self.access.is_granted(ACTION) && self.is_let(ACTION, &bucket).await?
            }
        })
    }

    /// Whether whoever asks may do this as far as their own policies go: a list lets an account in, which decides whom of its own it lets.
    async fn is_let(&self, action: &'static str, subject: &Subject<'_>) -> S3Result<bool> {
        let Some(member) = self.access.member() else {
            return Ok(true);
        };
        let let_by = |request: &Request<'_>| member.grants.decide(request, None, true).is_allowed();
        self.ask(action, subject, let_by).await
    }

    /// What `decide` says of the request as policies see it.
    async fn ask<T>(
        &self,
        action: &'static str,
        subject: &Subject<'_>,
        decide: impl FnOnce(&Request<'_>) -> T,
    ) -> S3Result<T> {
        let existing = self.existing_tags(subject).await?;
        let facts = Facts::new(self.access.owner, self.call);
        let context = facts.context(action, subject, existing.as_ref());
        Ok(decide(&Request {
            requester: facts.requester(),
            action,
            resource: &subject.arn(),
            context: &context,
        }))
    }

    /// Whether the caller may write an object if it is not there yet: then the write is made on that condition.
    async fn may_create(&self, subject: &Subject<'_>) -> S3Result<bool> {
        let may_help = |member: &Member| member.grants.looks_at(CREATE_ONLY);
        if !self.access.member().is_some_and(may_help) {
            return Ok(false);
        }
        let subject = Subject {
            is_create_only: true,
            ..*subject
        };
        Ok(self.verdict("s3:PutObject", &subject).await? == Verdict::Allow)
    }

    async fn allows(&self, action: &'static str, subject: &Subject<'_>) -> S3Result<bool> {
        let verdict = self.verdict(action, subject).await?;
        if verdict == Verdict::ExplicitDeny {
            return Ok(false);
        }
        let is_allowed = verdict == Verdict::Allow;
        Ok(match subject.object {
            Decided::Without => {
                is_allowed || self.access.is_granted(action) && self.is_let(action, subject).await?
            }
            // Whoever may see that it is not there is told so.
            Decided::Absent => is_allowed || self.lists(subject).await?,
            // The policy is the word of the bucket's owner, and so only about what is theirs.
            Decided::On { acl, .. } => {
                let of_bucket = acl.owner.is_none();
                is_allowed && of_bucket
                    || self.access.is_granted_of(acl, action)
                        && self.is_let(action, subject).await?
            }
        })
    }

    /// What the bucket's policy and those of the caller say; without any, whose bucket it is.
    async fn verdict(&self, action: &'static str, subject: &Subject<'_>) -> S3Result<Verdict> {
        if self.access.policy.is_none() && self.access.member().is_none() {
            let verdict = if self.access.is_of_owner() {
                Verdict::Allow
            } else {
                Verdict::ImplicitDeny
            };
            self.call.trail.ruled(action, verdict, None);
            return Ok(verdict);
        }
        let decide = |request: &Request<'_>| {
            let decision = self.combined(request);
            let sid = decision
                .statement
                .map(|statement| (statement.index, statement.sid));
            tracing::debug!(action, verdict = ?decision.verdict, ?sid, "decided by policies");
            let by = self.kind_of(&decision, request);
            let statement = decision.statement.map(|statement| (by, statement));
            self.call.trail.ruled(action, decision.verdict, statement);
            decision.verdict
        };
        self.ask(action, subject, decide).await
    }

    /// Whose policy the statement of a decision is in. Those of callers name nobody, and a denial of the bucket's wins.
    fn kind_of(&self, decision: &Decision<'_>, request: &Request<'_>) -> PolicyOf {
        let denies =
            |policy: &BucketPolicy| policy.policy.decide(request).verdict == Verdict::ExplicitDeny;
        let is_of_bucket = match decision.verdict {
            Verdict::ExplicitDeny => self.access.policy.as_deref().is_some_and(denies),
            Verdict::Allow | Verdict::ImplicitDeny => decision.via.is_some(),
        };
        if is_of_bucket {
            PolicyOf::Bucket
        } else {
            PolicyOf::Caller
        }
    }

    /// What a public policy allows counts for nobody outside of the account where public buckets are restricted.
    fn combined(&self, request: &Request<'_>) -> Decision<'_> {
        let is_of_owner = self.access.is_of_owner();
        let is_restricted = self.access.block.restrict_public_buckets;
        let resource = self.access.policy.as_deref().map(|policy| {
            let decision = policy.policy.decide(request);
            let is_void = is_restricted && policy.is_public && !is_of_owner;
            if is_void && decision.is_allowed() {
                Decision::NONE
            } else {
                decision
            }
        });
        if let Some(member) = self.access.member() {
            return member.grants.decide(request, resource, is_of_owner);
        }
        let policies = Policies {
            identity: None,
            boundary: None,
            session: None,
            resource,
            is_same_account: is_of_owner,
        };
        combine(&request.requester, &policies)
    }

    /// The tags of the object, where a decision may depend on them; `None` where it does not, or there is no object.
    async fn existing_tags(&self, subject: &Subject<'_>) -> S3Result<Option<Tags>> {
        let of_bucket = self.access.policy.as_deref();
        let is_looked_at = of_bucket.is_some_and(|policy| policy.looks_at_existing_tags)
            || self
                .access
                .member()
                .is_some_and(|member| member.grants.looks_at(access::EXISTING_TAGS));
        let Some(key) = subject.key.filter(|_| is_looked_at) else {
            return Ok(None);
        };
        if let Some(tags) = subject.object.with_info(|info| info.tags.clone()) {
            return Ok(Some(tags));
        }
        let version = subject
            .version
            .map(crate::op::call::parse_version)
            .transpose()?;
        self.tags_of(subject.bucket, key, version).await
    }

    async fn tags_of(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> S3Result<Option<Tags>> {
        match self.call.store.object_version(bucket, key, version).await {
            Ok(handle) => Ok(Some(handle.info().tags.clone())),
            Err(
                StoreError::NoSuchKey
                | StoreError::NoSuchVersion
                | StoreError::NoSuchBucket
                | StoreError::DeleteMarker { .. },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
