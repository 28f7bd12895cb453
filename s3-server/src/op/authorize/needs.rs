//! Operations and the actions that they need.

use crate::{
    op::{Call, acl::is_asked},
    route::{Configuration, Operation},
};

/// The action for the latest version, or for one that is named.
pub(super) fn versioned(
    is_versioned: bool,
    latest: &'static str,
    named: &'static str,
) -> &'static str {
    if is_versioned { named } else { latest }
}

/// All actions that a request needs; on the bucket or the object that it is about. What `DeleteObjects` needs is known key by key, and what
/// `PutObjectTagging` needs may depend on its body.
pub(super) fn actions(operation: Operation, call: &Call<'_>) -> Vec<&'static str> {
    let is_versioned = call.query.has("versionId");
    let versioned = |latest, named| versioned(is_versioned, latest, named);
    let mut actions = match operation {
        Operation::ListBuckets | Operation::CreateBucket | Operation::DeleteObjects => Vec::new(),
        Operation::GetObject | Operation::HeadObject => {
            vec![versioned("s3:GetObject", "s3:GetObjectVersion")]
        }
        Operation::DeleteObject => vec![versioned("s3:DeleteObject", "s3:DeleteObjectVersion")],
        Operation::GetObjectAttributes => vec![
            versioned("s3:GetObject", "s3:GetObjectVersion"),
            versioned("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"),
        ],
        Operation::GetObjectTagging => {
            vec![versioned(
                "s3:GetObjectTagging",
                "s3:GetObjectVersionTagging",
            )]
        }
        Operation::PutObjectTagging => {
            vec![versioned(
                "s3:PutObjectTagging",
                "s3:PutObjectVersionTagging",
            )]
        }
        Operation::DeleteObjectTagging => {
            vec![versioned(
                "s3:DeleteObjectTagging",
                "s3:DeleteObjectVersionTagging",
            )]
        }
        Operation::GetObjectAcl => vec![versioned("s3:GetObjectAcl", "s3:GetObjectVersionAcl")],
        Operation::PutObjectAcl => vec![versioned("s3:PutObjectAcl", "s3:PutObjectVersionAcl")],
        Operation::PutObject
        | Operation::PostObject
        | Operation::CopyObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::CompleteMultipartUpload => vec!["s3:PutObject"],
        other => vec![one(other)],
    };
    with_headers(operation, call, &mut actions);
    actions
}

/// Operations that need the same action whatever the request looks like.
fn one(operation: Operation) -> &'static str {
    match operation {
        Operation::HeadBucket | Operation::ListObjects | Operation::ListObjectsV2 => {
            "s3:ListBucket"
        }
        Operation::DeleteBucket => "s3:DeleteBucket",
        Operation::GetBucketLocation => "s3:GetBucketLocation",
        Operation::GetBucketCors => "s3:GetBucketCORS",
        Operation::PutBucketCors | Operation::DeleteBucketCors => "s3:PutBucketCORS",
        Operation::GetBucketLogging => "s3:GetBucketLogging",
        Operation::PutBucketLogging => "s3:PutBucketLogging",
        Operation::GetBucketNotificationConfiguration => "s3:GetBucketNotification",
        Operation::PutBucketNotificationConfiguration => "s3:PutBucketNotification",
        Operation::GetBucketTagging => "s3:GetBucketTagging",
        Operation::PutBucketTagging | Operation::DeleteBucketTagging => "s3:PutBucketTagging",
        Operation::GetBucketVersioning => "s3:GetBucketVersioning",
        Operation::PutBucketVersioning => "s3:PutBucketVersioning",
        Operation::GetBucketLifecycleConfiguration => "s3:GetLifecycleConfiguration",
        Operation::PutBucketLifecycleConfiguration | Operation::DeleteBucketLifecycle => {
            "s3:PutLifecycleConfiguration"
        }
        Operation::GetObjectLockConfiguration => "s3:GetBucketObjectLockConfiguration",
        Operation::PutObjectLockConfiguration => "s3:PutBucketObjectLockConfiguration",
        Operation::GetObjectRetention => "s3:GetObjectRetention",
        Operation::PutObjectRetention => "s3:PutObjectRetention",
        Operation::GetObjectLegalHold => "s3:GetObjectLegalHold",
        Operation::PutObjectLegalHold => "s3:PutObjectLegalHold",
        Operation::GetBucketEncryption => "s3:GetEncryptionConfiguration",
        Operation::PutBucketEncryption | Operation::DeleteBucketEncryption => {
            "s3:PutEncryptionConfiguration"
        }
        Operation::GetBucketPolicy => "s3:GetBucketPolicy",
        Operation::PutBucketPolicy => "s3:PutBucketPolicy",
        Operation::DeleteBucketPolicy => "s3:DeleteBucketPolicy",
        Operation::GetBucketPolicyStatus => "s3:GetBucketPolicyStatus",
        Operation::GetPublicAccessBlock => "s3:GetBucketPublicAccessBlock",
        Operation::PutPublicAccessBlock | Operation::DeletePublicAccessBlock => {
            "s3:PutBucketPublicAccessBlock"
        }
        Operation::GetBucketOwnershipControls => "s3:GetBucketOwnershipControls",
        Operation::PutBucketOwnershipControls | Operation::DeleteBucketOwnershipControls => {
            "s3:PutBucketOwnershipControls"
        }
        Operation::GetBucketAcl => "s3:GetBucketAcl",
        Operation::PutBucketAcl => "s3:PutBucketAcl",
        Operation::ListObjectVersions => "s3:ListBucketVersions",
        Operation::ListMultipartUploads => "s3:ListBucketMultipartUploads",
        Operation::AbortMultipartUpload => "s3:AbortMultipartUpload",
        Operation::ListParts => "s3:ListMultipartUploadParts",
        Operation::GetUnset(configuration) => read(configuration),
        // Those of `actions`.
        Operation::ListBuckets => "s3:ListAllMyBuckets",
        Operation::CreateBucket => "s3:CreateBucket",
        Operation::DeleteObjects | Operation::DeleteObject => "s3:DeleteObject",
        Operation::GetObject | Operation::HeadObject => "s3:GetObject",
        Operation::GetObjectAttributes => "s3:GetObjectAttributes",
        Operation::GetObjectTagging => "s3:GetObjectTagging",
        Operation::PutObjectTagging => "s3:PutObjectTagging",
        Operation::DeleteObjectTagging => "s3:DeleteObjectTagging",
        Operation::GetObjectAcl => "s3:GetObjectAcl",
        Operation::PutObjectAcl => "s3:PutObjectAcl",
        Operation::PutObject
        | Operation::PostObject
        | Operation::CopyObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::CompleteMultipartUpload => "s3:PutObject",
    }
}

fn read(configuration: Configuration) -> &'static str {
    match configuration {
        Configuration::Accelerate => "s3:GetAccelerateConfiguration",
        Configuration::Replication => "s3:GetReplicationConfiguration",
        Configuration::RequestPayment => "s3:GetBucketRequestPayment",
        Configuration::Website => "s3:GetBucketWebsite",
    }
}

/// What making a bucket needs, with all that the request wants of it.
pub(super) fn of_new_bucket(call: &Call<'_>) -> Vec<&'static str> {
    let mut actions = vec![one(Operation::CreateBucket)];
    let has = |name: &str| call.headers().contains_key(name);
    let mut names = call.headers().keys().map(http::HeaderName::as_str);
    if has("x-amz-acl") || names.any(|name| name.starts_with("x-amz-grant-")) {
        actions.push("s3:PutBucketAcl");
    }
    if has("x-amz-bucket-object-lock-enabled") {
        actions.extend([
            "s3:PutBucketObjectLockConfiguration",
            "s3:PutBucketVersioning",
        ]);
    }
    if has("x-amz-object-ownership") {
        actions.push("s3:PutBucketOwnershipControls");
    }
    actions
}

/// What a request's headers need beside.
fn with_headers(operation: Operation, call: &Call<'_>, actions: &mut Vec<&'static str>) {
    let has = |name: &str| call.header(name).is_some_and(|value| !value.is_empty());
    let begins = matches!(
        operation,
        Operation::PutObject
            | Operation::PostObject
            | Operation::CopyObject
            | Operation::CreateMultipartUpload
    );
    if begins && has("x-amz-tagging") {
        actions.push("s3:PutObjectTagging");
    }
    if begins && has("x-amz-object-lock-mode") {
        actions.push("s3:PutObjectRetention");
    }
    if begins && has("x-amz-object-lock-legal-hold") {
        actions.push("s3:PutObjectLegalHold");
    }
    if begins && is_asked(call.headers()) {
        actions.push("s3:PutObjectAcl");
    }
    let bypassable = [Operation::DeleteObject, Operation::PutObjectRetention];
    if bypassable.contains(&operation) && bypasses_governance(call) {
        actions.push("s3:BypassGovernanceRetention");
    }
}

pub(super) fn bypasses_governance(call: &Call<'_>) -> bool {
    let value = call.header("x-amz-bypass-governance-retention");
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Operations that the root of a bucket's account can always do, lest a policy lock everybody out.
pub(super) fn is_of_the_policy_itself(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetBucketPolicy | Operation::PutBucketPolicy | Operation::DeleteBucketPolicy
    )
}

/// Operations about which an object's own list has a say.
pub(super) fn is_of_the_list(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetObject
            | Operation::HeadObject
            | Operation::GetObjectAttributes
            | Operation::GetObjectAcl
            | Operation::PutObjectAcl
    )
}

/// Operations whose answer says that a key is not there.
pub(super) fn tells_what_is_missing(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetObject
            | Operation::HeadObject
            | Operation::GetObjectAttributes
            | Operation::GetObjectTagging
            | Operation::PutObjectTagging
            | Operation::DeleteObjectTagging
            | Operation::GetObjectAcl
            | Operation::PutObjectAcl
            | Operation::GetObjectRetention
            | Operation::PutObjectRetention
            | Operation::GetObjectLegalHold
            | Operation::PutObjectLegalHold
    )
}

#[cfg(test)]
mod tests {
    use larder_policy::s3;

    /// All of S3's words between quotes in a file, but for those that stand for many.
    fn words(source: &'static str) -> impl Iterator<Item = &'static str> {
        let quoted = source.split('"').skip(1).step_by(2);
        quoted.filter(|word| word.starts_with("s3:") && !word.contains('{'))
    }

    #[test]
    fn actions_and_condition_keys_are_those_that_policies_can_name() {
        let actions: Vec<_> = words(include_str!("needs.rs"))
            .chain(words(include_str!("object.rs")))
            .filter(|w| *w != "s3:")
            .collect();
        assert!(actions.len() > 50);
        for action in actions {
            assert!(s3::actions().any(|known| known.name == action), "{action}");
        }
        let context = words(include_str!("context.rs"));
        let keys: Vec<_> = context
            .filter(|word| !word.starts_with("s3:ListBucket"))
            .collect();
        assert!(keys.len() > 15);
        for key in keys.into_iter().filter(|key| *key != "s3:PutObject") {
            assert!(s3::is_condition_key(key), "{key}");
        }
        for header in super::super::context::HEADERS {
            assert!(s3::is_condition_key(&format!("s3:{header}")), "{header}");
        }
    }
}
