//! S3's actions: what they are done to, and which condition keys they know.
//!
//! Taken from AWS's Service Authorization Reference. Left out are access points, access grants, batch jobs and annotations, none of which
//! Larder has, and with them the condition keys that are about nothing else.

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The account.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// An action.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// `s3:…`.
    pub name: &'static str,
    /// What it is done to.
    pub scope: Scope,
    keys: &'static [&'static [&'static str]],
}

impl Action {
    /// Whether a condition key can have a value in requests for this action.
    pub fn knows(&self, key: &str) -> bool {
        let is_it = |known: &&str| is_key(known, key);
        COMMON.iter().any(is_it) || self.keys.iter().any(|keys| keys.iter().any(is_it))
    }
}

/// All actions.
pub fn actions() -> impl Iterator<Item = Action> {
    ACTIONS
        .iter()
        .map(|&(name, scope, keys)| Action { name, scope, keys })
}

/// Whether there is such a condition key of S3.
pub fn is_condition_key(key: &str) -> bool {
    ALL_KEYS
        .iter()
        .any(|keys| keys.iter().any(|known| is_key(known, key)))
}

/// Whether `key` is `known`, or one of those that it stands for.
fn is_key(known: &str, key: &str) -> bool {
    if !known.ends_with('/') {
        return known.eq_ignore_ascii_case(key);
    }
    let start = key.get(..known.len());
    key.len() > known.len() && start.is_some_and(|start| start.eq_ignore_ascii_case(known))
}

/// Known to all actions. Those of access points never have a value in Larder.
const COMMON: &[&str] = &[
    "s3:AccessGrantsInstanceArn",
    "s3:AccessPointNetworkOrigin",
    "s3:DataAccessPointAccount",
    "s3:DataAccessPointArn",
    "s3:ResourceAccount",
    "s3:TlsVersion",
    "s3:authType",
    "s3:signatureAge",
    "s3:signatureversion",
    "s3:x-amz-content-sha256",
];
const ACL: &[&str] = &[
    "s3:x-amz-acl",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp",
    "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp",
];
const CREATION: &[&str] = &["s3:locationconstraint", "s3:x-amz-object-ownership"];
const ENCRYPTION: &[&str] = &[
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
];
const EXISTING_TAGS: &[&str] = &["s3:ExistingObjectTag/"];
const HOLD: &[&str] = &["s3:object-lock-legal-hold"];
const IF_MATCH: &[&str] = &["s3:if-match"];
const IF_NONE_MATCH: &[&str] = &["s3:ObjectCreationOperation", "s3:if-none-match"];
const INVENTORY: &[&str] = &["s3:InventoryAccessibleOptionalFields"];
const LIST: &[&str] = &["s3:delimiter", "s3:max-keys", "s3:prefix"];
const REQUEST_TAGS: &[&str] = &["s3:RequestObjectTag/", "s3:RequestObjectTagKeys"];
const RETENTION: &[&str] = &[
    "s3:object-lock-mode",
    "s3:object-lock-remaining-retention-days",
    "s3:object-lock-retain-until-date",
];
const STORAGE_CLASS: &[&str] = &["s3:x-amz-storage-class"];
const VERSION: &[&str] = &["s3:VersionId"];
const WRITE: &[&str] = &[
    "s3:x-amz-copy-source",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-website-redirect-location",
];
const ALL_KEYS: &[&[&str]] = &[
    COMMON,
    ACL,
    CREATION,
    ENCRYPTION,
    EXISTING_TAGS,
    HOLD,
    IF_MATCH,
    IF_NONE_MATCH,
    INVENTORY,
    LIST,
    REQUEST_TAGS,
    RETENTION,
    STORAGE_CLASS,
    VERSION,
    WRITE,
];

type Row = (&'static str, Scope, &'static [&'static [&'static str]]);

#[rustfmt::skip]
const ACTIONS: &[Row] = &[
    ("s3:CreateStorageLensGroup", Scope::Service, &[]),
    ("s3:GetAccessPoint", Scope::Service, &[]),
    ("s3:GetAccountPublicAccessBlock", Scope::Service, &[]),
    ("s3:ListAccessGrantsInstances", Scope::Service, &[]),
    ("s3:ListAccessPoints", Scope::Service, &[]),
    ("s3:ListAccessPointsForObjectLambda", Scope::Service, &[]),
    ("s3:ListAllMyBuckets", Scope::Service, &[]),
    ("s3:ListMultiRegionAccessPoints", Scope::Service, &[]),
    ("s3:ListStorageLensConfigurations", Scope::Service, &[]),
    ("s3:ListStorageLensGroups", Scope::Service, &[]),
    ("s3:PutAccessPointPublicAccessBlock", Scope::Service, &[]),
    ("s3:PutAccountPublicAccessBlock", Scope::Service, &[]),
    ("s3:PutStorageLensConfiguration", Scope::Service, &[]),
    ("s3:CreateBucket", Scope::Bucket, &[ACL, CREATION]),
    ("s3:CreateBucketMetadataTableConfiguration", Scope::Bucket, &[]),
    ("s3:DeleteBucket", Scope::Bucket, &[]),
    ("s3:DeleteBucketMetadataTableConfiguration", Scope::Bucket, &[]),
    ("s3:DeleteBucketPolicy", Scope::Bucket, &[]),
    ("s3:DeleteBucketWebsite", Scope::Bucket, &[]),
    ("s3:GetAccelerateConfiguration", Scope::Bucket, &[]),
    ("s3:GetAnalyticsConfiguration", Scope::Bucket, &[]),
    ("s3:GetBucketAbac", Scope::Bucket, &[]),
    ("s3:GetBucketAcl", Scope::Bucket, &[]),
    ("s3:GetBucketCORS", Scope::Bucket, &[]),
    ("s3:GetBucketLocation", Scope::Bucket, &[]),
    ("s3:GetBucketLogging", Scope::Bucket, &[]),
    ("s3:GetBucketMetadataTableConfiguration", Scope::Bucket, &[]),
    ("s3:GetBucketNotification", Scope::Bucket, &[]),
    ("s3:GetBucketObjectLockConfiguration", Scope::Bucket, &[]),
    ("s3:GetBucketOwnershipControls", Scope::Bucket, &[]),
    ("s3:GetBucketPolicy", Scope::Bucket, &[]),
    ("s3:GetBucketPolicyStatus", Scope::Bucket, &[]),
    ("s3:GetBucketPublicAccessBlock", Scope::Bucket, &[]),
    ("s3:GetBucketRequestPayment", Scope::Bucket, &[]),
    ("s3:GetBucketTagging", Scope::Bucket, &[]),
    ("s3:GetBucketVersioning", Scope::Bucket, &[]),
    ("s3:GetBucketWebsite", Scope::Bucket, &[]),
    ("s3:GetEncryptionConfiguration", Scope::Bucket, &[]),
    ("s3:GetIntelligentTieringConfiguration", Scope::Bucket, &[]),
    ("s3:GetInventoryConfiguration", Scope::Bucket, &[]),
    ("s3:GetLifecycleConfiguration", Scope::Bucket, &[]),
    ("s3:GetMetricsConfiguration", Scope::Bucket, &[]),
    ("s3:GetReplicationConfiguration", Scope::Bucket, &[]),
    ("s3:ListBucket", Scope::Bucket, &[LIST]),
    ("s3:ListBucketMultipartUploads", Scope::Bucket, &[]),
    ("s3:ListBucketVersions", Scope::Bucket, &[LIST]),
    ("s3:ListTagsForResource", Scope::Bucket, &[]),
    ("s3:PauseReplication", Scope::Bucket, &[]),
    ("s3:PutAccelerateConfiguration", Scope::Bucket, &[]),
    ("s3:PutAnalyticsConfiguration", Scope::Bucket, &[]),
    ("s3:PutBucketAbac", Scope::Bucket, &[]),
    ("s3:PutBucketAcl", Scope::Bucket, &[ACL]),
    ("s3:PutBucketCORS", Scope::Bucket, &[]),
    ("s3:PutBucketLogging", Scope::Bucket, &[]),
    ("s3:PutBucketNotification", Scope::Bucket, &[]),
    ("s3:PutBucketObjectLockConfiguration", Scope::Bucket, &[]),
    ("s3:PutBucketOwnershipControls", Scope::Bucket, &[]),
    ("s3:PutBucketPolicy", Scope::Bucket, &[]),
    ("s3:PutBucketPublicAccessBlock", Scope::Bucket, &[]),
    ("s3:PutBucketRequestPayment", Scope::Bucket, &[]),
    ("s3:PutBucketTagging", Scope::Bucket, &[]),
    ("s3:PutBucketVersioning", Scope::Bucket, &[]),
    ("s3:PutBucketWebsite", Scope::Bucket, &[]),
    ("s3:PutEncryptionConfiguration", Scope::Bucket, &[]),
    ("s3:PutIntelligentTieringConfiguration", Scope::Bucket, &[]),
    ("s3:PutInventoryConfiguration", Scope::Bucket, &[INVENTORY]),
    ("s3:PutLifecycleConfiguration", Scope::Bucket, &[]),
    ("s3:PutMetricsConfiguration", Scope::Bucket, &[]),
    ("s3:PutReplicationConfiguration", Scope::Bucket, &[]),
    ("s3:TagResource", Scope::Bucket, &[]),
    ("s3:UntagResource", Scope::Bucket, &[]),
    ("s3:UpdateBucketMetadataInventoryTableConfiguration", Scope::Bucket, &[]),
    ("s3:UpdateBucketMetadataJournalTableConfiguration", Scope::Bucket, &[]),
    ("s3:AbortMultipartUpload", Scope::Object, &[]),
    ("s3:BypassGovernanceRetention", Scope::Object, &[ACL, REQUEST_TAGS, WRITE, STORAGE_CLASS, ENCRYPTION]),
    ("s3:DeleteObject", Scope::Object, &[IF_MATCH]),
    ("s3:DeleteObjectTagging", Scope::Object, &[EXISTING_TAGS]),
    ("s3:DeleteObjectVersion", Scope::Object, &[VERSION]),
    ("s3:DeleteObjectVersionTagging", Scope::Object, &[EXISTING_TAGS, VERSION]),
    ("s3:GetObject", Scope::Object, &[EXISTING_TAGS]),
    ("s3:GetObjectAcl", Scope::Object, &[EXISTING_TAGS]),
    ("s3:GetObjectAttributes", Scope::Object, &[EXISTING_TAGS]),
    ("s3:GetObjectLegalHold", Scope::Object, &[]),
    ("s3:GetObjectRetention", Scope::Object, &[]),
    ("s3:GetObjectTagging", Scope::Object, &[EXISTING_TAGS]),
    ("s3:GetObjectTorrent", Scope::Object, &[]),
    ("s3:GetObjectVersion", Scope::Object, &[EXISTING_TAGS, VERSION]),
    ("s3:GetObjectVersionAcl", Scope::Object, &[EXISTING_TAGS, VERSION]),
    ("s3:GetObjectVersionAttributes", Scope::Object, &[EXISTING_TAGS, VERSION]),
    ("s3:GetObjectVersionForReplication", Scope::Object, &[]),
    ("s3:GetObjectVersionTagging", Scope::Object, &[EXISTING_TAGS, VERSION]),
    ("s3:GetObjectVersionTorrent", Scope::Object, &[VERSION]),
    ("s3:InitiateReplication", Scope::Object, &[]),
    ("s3:ListMultipartUploadParts", Scope::Object, &[]),
    ("s3:ObjectOwnerOverrideToBucketOwner", Scope::Object, &[]),
    ("s3:PutObject", Scope::Object, &[ACL, REQUEST_TAGS, IF_MATCH, IF_NONE_MATCH, HOLD, RETENTION, WRITE, STORAGE_CLASS, ENCRYPTION]),
    ("s3:PutObjectAcl", Scope::Object, &[ACL, EXISTING_TAGS, STORAGE_CLASS]),
    ("s3:PutObjectLegalHold", Scope::Object, &[HOLD]),
    ("s3:PutObjectRetention", Scope::Object, &[RETENTION]),
    ("s3:PutObjectTagging", Scope::Object, &[EXISTING_TAGS, REQUEST_TAGS]),
    ("s3:PutObjectVersionAcl", Scope::Object, &[ACL, EXISTING_TAGS, VERSION, STORAGE_CLASS]),
    ("s3:PutObjectVersionTagging", Scope::Object, &[EXISTING_TAGS, REQUEST_TAGS, VERSION]),
    ("s3:ReplicateDelete", Scope::Object, &[]),
    ("s3:ReplicateObject", Scope::Object, &[ENCRYPTION]),
    ("s3:ReplicateTags", Scope::Object, &[]),
    ("s3:RestoreObject", Scope::Object, &[]),
    ("s3:UpdateObjectEncryption", Scope::Object, &[EXISTING_TAGS, ENCRYPTION]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn action(name: &str) -> Action {
        actions()
            .find(|action| action.name == name)
            .expect("an action")
    }

    #[test]
    fn actions_know_their_keys() {
        assert!(action("s3:ListBucket").knows("S3:Prefix"));
        assert!(!action("s3:GetObject").knows("s3:prefix"));
        assert!(action("s3:GetObject").knows("s3:ExistingObjectTag/a/b"));
        assert!(!action("s3:GetObject").knows("s3:ExistingObjectTag/"));
        assert!(action("s3:GetObject").knows("s3:tlsversion"));
        assert!(action("s3:DeleteObjectVersion").knows("s3:versionid"));
        assert!(!action("s3:DeleteObject").knows("s3:versionid"));
        assert!(is_condition_key("s3:x-amz-ACL") && !is_condition_key("s3:x-amz-acl2"));
    }

    #[test]
    fn all_keys_of_actions_are_keys_and_names_are_unique() {
        for (name, _, keys) in ACTIONS {
            assert!(keys.iter().all(|keys| ALL_KEYS.contains(keys)), "{name}");
            assert_eq!(
                actions().filter(|action| action.name == *name).count(),
                1,
                "{name}"
            );
        }
    }
}
