//! Policies that every account has: `arn:aws:iam::aws:policy/…`.
//!
//! Those of Larder's own are for one bucket, or what is below one prefix of it: which, say the tags `bucket` and `prefix` of whoever they
//! are attached to. Without a tag `bucket` they allow nothing, without a tag `prefix` they are for the whole bucket.

use std::sync::{Arc, LazyLock};

use larder_policy::{Kind, Policy};

use super::records::PolicyVersion;

/// A policy that nobody made.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    document: String,
    /// As it was read; never without a policy.
    pub(crate) rules: Arc<[Policy]>,
}

impl Builtin {
    pub(super) fn arn(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// In the form of AWS's; the same on every server.
    pub(super) fn id(&self) -> String {
        let letters = self
            .name
            .bytes()
            .map(|b| char::from(b.to_ascii_uppercase()));
        let padded = letters.chain(std::iter::repeat('A')).take(17);
        format!("ANPA{}", padded.collect::<String>())
    }

    pub(super) fn version(&self) -> PolicyVersion {
        PolicyVersion {
            number: 1,
            document: self.document.clone(),
            created: 0,
        }
    }
}

const PREFIX: &str = "arn:aws:iam::aws:policy/";

const BUCKET: &str = "arn:aws:s3:::${aws:PrincipalTag/bucket}";
const OBJECTS: &str = "arn:aws:s3:::${aws:PrincipalTag/bucket}/${aws:PrincipalTag/prefix, ''}*";

const READ: [&str; 8] = [
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectAttributes",
    "s3:GetObjectVersionAttributes",
    "s3:GetObjectTagging",
    "s3:GetObjectVersionTagging",
    "s3:GetObjectRetention",
    "s3:GetObjectLegalHold",
];
const WRITE: [&str; 3] = [
    "s3:PutObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
];
const CHANGE: [&str; 7] = [
    "s3:PutObjectTagging",
    "s3:PutObjectVersionTagging",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersionTagging",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:DeleteObject",
];

static ALL: LazyLock<Vec<Builtin>> = LazyLock::new(|| {
    let everything = |action: &[&str]| statement(action, &["*"], "");
    let of_objects = |actions: &[&str]| statement(actions, &[OBJECTS], "");
    let create_only = statement(
        &["s3:PutObject"],
        &[OBJECTS],
        r#","Condition":{"Bool":{"larder:CreateOnly":"true"}}"#,
    );
    let all = [
        (
            "AdministratorAccess",
            "Everything in the account.",
            vec![everything(&["*"])],
        ),
        (
            "AmazonS3FullAccess",
            "Everything with all buckets and objects.",
            vec![everything(&["s3:*"])],
        ),
        (
            "AmazonS3ReadOnlyAccess",
            "Reading and listing all buckets and objects.",
            vec![everything(&["s3:Get*", "s3:List*"])],
        ),
        (
            "LarderReadOnly",
            "Reading and listing one bucket, or one prefix of it: tags bucket and prefix.",
            [lists(), vec![of_objects(&READ)]].concat(),
        ),
        (
            "LarderReadWrite",
            "Reading, listing, writing and deleting in one bucket, or below one prefix of it: tags bucket and prefix.",
            [
                lists(),
                vec![of_objects(&READ), of_objects(&WRITE), of_objects(&CHANGE)],
            ]
            .concat(),
        ),
        (
            "LarderWriteOnly",
            "Writing in one bucket, or below one prefix of it, without reading: tags bucket and prefix.",
            vec![location(), of_objects(&WRITE)],
        ),
        (
            "LarderAppendOnly",
            "Reading, listing, and writing objects that are not there yet; never overwriting or deleting one: tags bucket and prefix.",
            [
                lists(),
                vec![of_objects(&READ), of_objects(&WRITE[1..]), create_only],
            ]
            .concat(),
        ),
    ];
    let policy = |(name, description, statements): (_, _, Vec<String>)| {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
            statements.join(",")
        );
        // A test reads each of them; one that could not be read would allow nothing.
        let rules = Policy::parse(document.as_bytes(), Kind::Identity)
            .into_iter()
            .map(|policy| policy.named(&format!("{PREFIX}{name}")))
            .collect();
        Builtin {
            name,
            description,
            document,
            rules,
        }
    };
    all.into_iter().map(policy).collect()
});

/// What a client asks before it does anything else.
fn location() -> String {
    statement(&["s3:GetBucketLocation"], &[BUCKET], "")
}

/// Listing the bucket below the prefix. Without a prefix of its own a member may list without one.
fn lists() -> Vec<String> {
    let below = r#","Condition":{"StringLike":{"s3:prefix":"${aws:PrincipalTag/prefix, ''}*"}}"#;
    let whole = r#","Condition":{"Null":{"s3:prefix":"true","aws:PrincipalTag/prefix":"true"}}"#;
    let actions = ["s3:ListBucket", "s3:ListBucketVersions"];
    vec![
        location(),
        statement(
            &["s3:ListBucketMultipartUploads", "s3:GetBucketVersioning"],
            &[BUCKET],
            "",
        ),
        statement(&actions, &[BUCKET], below),
        statement(&actions, &[BUCKET], whole),
    ]
}

fn statement(actions: &[&str], resources: &[&str], more: &str) -> String {
    let list = |all: &[&str]| {
        let quoted: Vec<_> = all.iter().map(|text| format!("\"{text}\"")).collect();
        quoted.join(",")
    };
    format!(
        r#"{{"Effect":"Allow","Action":[{}],"Resource":[{}]{more}}}"#,
        list(actions),
        list(resources)
    )
}

/// All of them, by name.
pub(super) fn all() -> impl Iterator<Item = &'static Builtin> {
    ALL.iter()
}

/// That of an ARN.
pub(crate) fn find(arn: &str) -> Option<&'static Builtin> {
    let name = arn.strip_prefix(PREFIX)?;
    ALL.iter().find(|policy| policy.name == name)
}

#[cfg(test)]
mod tests {
    use larder_policy::{Account, Context, Request, Requester};

    use super::*;

    #[test]
    fn each_can_be_read() {
        for policy in all() {
            assert_eq!(policy.rules.len(), 1, "{}", policy.name);
            assert_eq!(policy.id().len(), 21);
        }
    }

    fn allows(
        name: &str,
        tags: &[(&str, &str)],
        keys: &[(&'static str, &'static str)],
        action: &str,
        resource: &str,
    ) -> bool {
        let mut context = Context::new();
        for (key, value) in tags {
            context.set(format!("aws:PrincipalTag/{key}"), *value);
        }
        for (key, value) in keys {
            context.set(*key, *value);
        }
        let account = Account {
            id: "111122223333",
            canonical_id: "c",
        };
        let request = Request {
            requester: Requester::User {
                account,
                arn: "arn:aws:iam::111122223333:user/u",
            },
            action,
            resource,
            context: &context,
        };
        let policy = find(&format!("{PREFIX}{name}")).unwrap();
        policy.rules[0].decide(&request).is_allowed()
    }

    #[test]
    fn they_are_for_one_bucket_and_prefix() {
        let both = [("bucket", "b"), ("prefix", "p/")];
        for name in ["LarderReadOnly", "LarderReadWrite", "LarderAppendOnly"] {
            let get = |tags: &[_], resource| allows(name, tags, &[], "s3:GetObject", resource);
            assert!(get(&both, "arn:aws:s3:::b/p/x"));
            assert!(get(&both[..1], "arn:aws:s3:::b/x"));
            assert!(!get(&both, "arn:aws:s3:::b/q") && !get(&both, "arn:aws:s3:::c/p/x"));
            assert!(!get(&[], "arn:aws:s3:::b/x") && !get(&both[1..], "arn:aws:s3:::/p/x"));
            let list = |tags: &[_], keys: &[_]| {
                allows(name, tags, keys, "s3:ListBucket", "arn:aws:s3:::b")
            };
            assert!(list(&both, &[("s3:prefix", "p/q")]) && !list(&both, &[("s3:prefix", "q")]));
            assert!(
                !list(&both, &[])
                    && list(&both[..1], &[])
                    && list(&both[..1], &[("s3:prefix", "z")])
            );
        }
        assert!(!allows(
            "LarderWriteOnly",
            &both,
            &[],
            "s3:GetObject",
            "arn:aws:s3:::b/p/x"
        ));
        assert!(allows(
            "LarderWriteOnly",
            &both,
            &[],
            "s3:PutObject",
            "arn:aws:s3:::b/p/x"
        ));
    }

    #[test]
    fn append_only_neither_overwrites_nor_deletes() {
        let may = |action, keys: &[_]| {
            allows(
                "LarderAppendOnly",
                &[("bucket", "b")],
                keys,
                action,
                "arn:aws:s3:::b/x",
            )
        };
        assert!(!may("s3:PutObject", &[]));
        assert!(may("s3:PutObject", &[("larder:CreateOnly", "true")]));
        for action in [
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:PutObjectTagging",
            "s3:PutObjectAcl",
            "s3:PutObjectRetention",
            "s3:BypassGovernanceRetention",
            "s3:PutBucketPolicy",
        ] {
            assert!(!may(action, &[("larder:CreateOnly", "true")]), "{action}");
        }
    }
}
