//! The condition keys of a request.

use std::borrow::Cow;

use larder_policy::{Context, Requester, Value};
use larder_storage::objects::{AccountId, Tags};
use percent_encoding::percent_decode_str;

use super::Subject;
use crate::{
    iam::Principal,
    op::{Call, encryption::key_of_policies},
    sigv2,
    sigv4::{self, CONTENT_SHA256, Carrier},
    xml::TagSet,
};

/// Headers that are condition keys of the same name, after `s3:`.
pub(super) const HEADERS: [&str; 15] = [
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    CONTENT_SHA256,
    "if-match",
    "if-none-match",
];
/// The same, where the key has another name.
const LOCK_HEADERS: [(&str, &str); 3] = [
    ("x-amz-object-lock-mode", "s3:object-lock-mode"),
    ("x-amz-object-lock-legal-hold", "s3:object-lock-legal-hold"),
    ("x-amz-object-lock-retain-until-date", RETAIN_UNTIL),
];
const KMS_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const RETAIN_UNTIL: &str = "s3:object-lock-retain-until-date";
const REMAINING_DAYS: &str = "s3:object-lock-remaining-retention-days";
const MILLIS_PER_DAY: i64 = 86_400_000;

/// Texts that condition keys and the requester refer to.
pub(super) struct Facts<'a> {
    call: &'a Call<'a>,
    principal: Principal<'a>,
    /// The account that what is asked for belongs to.
    owner: String,
}

impl<'a> Facts<'a> {
    pub(super) fn new(owner: AccountId, call: &'a Call<'a>) -> Self {
        Self {
            call,
            principal: Principal::of(&call.caller),
            owner: owner.to_string(),
        }
    }

    pub(super) fn requester(&self) -> Requester<'_> {
        self.principal.requester()
    }

    /// The keys of a request that is about no bucket that there is.
    pub(super) fn of_service(&self) -> Context<'_> {
        let mut context = Context::new();
        self.set_who(&mut context);
        self.set_signature(&mut context);
        self.set_request(&mut context);
        context
    }

    /// All keys that the request has a value for.
    pub(super) fn context<'b>(
        &'b self,
        action: &str,
        subject: &Subject<'b>,
        existing_tags: Option<&'b Tags>,
    ) -> Context<'b> {
        let mut context = self.of_service();
        self.set_query(action, subject, &mut context);
        if let Some(Tags(tags)) = existing_tags {
            for (key, value) in tags {
                context.set(format!("s3:ExistingObjectTag/{key}"), value.as_str());
            }
        }
        if action == "s3:PutObject" {
            context.set(super::CREATE_ONLY, subject.is_create_only);
        }
        self.set_new_tags(subject, &mut context);
        self.set_lock(subject, &mut context);
        context
    }

    fn set_who<'b>(&'b self, context: &mut Context<'b>) {
        context.set("s3:ResourceAccount", self.owner.as_str());
        self.principal.fill(context);
    }

    fn set_signature<'b>(&'b self, context: &mut Context<'b>) {
        let call = self.call;
        if call.caller.account().is_none() {
            return;
        }
        let parts = call.parts;
        let is_version_2 = sigv2::is_presigned(&parts.uri, &parts.headers);
        let request = sigv4::Request {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
        };
        let carrier = match call.verified.carrier {
            // Neither here nor there: in a form.
            _ if sigv4::is_anonymous(&request) => "POST",
            Carrier::Header => "REST-HEADER",
            Carrier::Query => "REST-QUERY-STRING",
        };
        let version = if is_version_2 {
            "AWS"
        } else {
            "AWS4-HMAC-SHA256"
        };
        context.set("s3:authType", carrier);
        context.set("s3:signatureversion", version);
        let signed_at = sigv4::signed_at(&request);
        let age = signed_at.filter(|_| !is_version_2).map(|at| {
            let age = self.now().saturating_sub(at.saturating_mul(1000));
            age.max(0)
        });
        context.set_some("s3:signatureAge", age);
    }

    fn set_request<'b>(&'b self, context: &mut Context<'b>) {
        let call = self.call;
        let client = call.client();
        context.set("aws:SourceIp", client.address);
        context.set("aws:SecureTransport", client.is_secure);
        let now = self.now();
        context.set("aws:CurrentTime", Value::Time(now));
        context.set("aws:EpochTime", now / 1000);
        context.set("aws:RequestedRegion", call.app.region.as_str());
        context.set_some("aws:UserAgent", call.header("user-agent"));
        context.set_some("aws:Referer", call.header("referer"));
        for name in HEADERS {
            if let Some(value) = call.header(name) {
                context.set(format!("s3:{name}"), value);
            }
        }
        context.set_some(KMS_KEY, key_of_policies(call).map(Value::from));
        context.set_some(
            "s3:x-amz-copy-source",
            call.header("x-amz-copy-source").map(source),
        );
    }

    /// The lock of the body, or of the headers where the body is an object.
    fn set_lock<'b>(&'b self, subject: &Subject<'b>, context: &mut Context<'b>) {
        for (name, key) in LOCK_HEADERS {
            context.set_some(key, self.call.header(name));
        }
        let lock = subject.new_lock;
        context.set_some("s3:object-lock-mode", lock.mode);
        context.set_some("s3:object-lock-legal-hold", lock.legal_hold);
        context.set_some(RETAIN_UNTIL, lock.until);
        if let [Value::Text(until)] = context.get(RETAIN_UNTIL)
            && let Some(until) = larder_policy::parse_date(until)
        {
            let days = until.saturating_sub(self.now()).max(0) / MILLIS_PER_DAY;
            context.set(REMAINING_DAYS, days);
        }
    }

    fn set_query<'b>(&'b self, action: &str, subject: &Subject<'b>, context: &mut Context<'b>) {
        let query = &self.call.query;
        if ["s3:ListBucket", "s3:ListBucketVersions"].contains(&action) {
            context.set_some("s3:prefix", query.get("prefix"));
            context.set_some("s3:delimiter", query.get("delimiter"));
            context.set_some("s3:max-keys", query.get("max-keys"));
        }
        context.set_some("s3:VersionId", subject.version);
        if action == "s3:PutObject" {
            context.set("s3:ObjectCreationOperation", !query.has("partNumber"));
        }
    }

    /// Tags of the header where the request has no others; a header that is wrong is refused by the operation.
    fn set_new_tags<'b>(&'b self, subject: &Subject<'b>, context: &mut Context<'b>) {
        let set = match subject.new_tags {
            Some(Tags(tags)) => tags
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            None => self.header_tags(),
        };
        if set.is_empty() {
            return;
        }
        let keys: Vec<_> = set
            .iter()
            .map(|(key, _)| Value::from(key.clone()))
            .collect();
        context.set("s3:RequestObjectTagKeys", keys);
        for (key, value) in set {
            context.set(format!("s3:RequestObjectTag/{key}"), Value::from(value));
        }
    }

    fn header_tags(&self) -> Vec<(String, String)> {
        let header = self.call.header("x-amz-tagging");
        let set = header.and_then(|value| TagSet::from_header(value).ok());
        let tags = set.map(TagSet::into_vec).unwrap_or_default();
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    fn now(&self) -> i64 {
        i64::try_from(self.call.app.clock.unix_millis()).unwrap_or(i64::MAX)
    }
}

/// `bucket/key`, decoded.
fn source(value: &str) -> Value<'_> {
    let value = value.strip_prefix('/').unwrap_or(value);
    Value::Text(match percent_decode_str(value).decode_utf8() {
        Ok(decoded) => decoded,
        Err(_) => Cow::Borrowed(value),
    })
}
