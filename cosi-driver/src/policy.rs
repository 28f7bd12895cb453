//! Policies of accounts, in AWS's language: what each access mode allows, who may take on a role, and what closes a bucket that is in the trash.
//!
//! Invariants: a policy names the buckets that were granted, and what is below the prefix, and nothing else. No mode allows deleting a bucket, changing
//! its tags (which hold the driver's state) or going round locks.

use serde_json::{Map, Value, json};

use crate::{parameters::Cidr, provision::AccessMode};

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
const PUT: &str = "s3:PutObject";
/// What belongs to uploads in parts, beside [`PUT`].
const UPLOAD: [&str; 2] = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"];
const CHANGE: [&str; 5] = [
    "s3:PutObjectTagging",
    "s3:DeleteObjectTagging",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:DeleteObject",
];
/// What clients ask about a bucket before they do anything else.
const LOOK: [&str; 3] = [
    "s3:GetBucketLocation",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
];
const LIST: [&str; 2] = ["s3:ListBucket", "s3:ListBucketVersions"];
const UPLOADS: &str = "s3:ListBucketMultipartUploads";
/// What not even an administrator of a bucket may.
const NEVER: [&str; 6] = [
    "s3:DeleteBucket",
    "s3:PutBucketTagging",
    "s3:TagResource",
    "s3:UntagResource",
    "s3:BypassGovernanceRetention",
    "s3:CreateBucket",
];

/// Where a policy counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only for objects whose keys begin so.
    pub prefix: Option<String>,
    /// Only from these networks; empty: from everywhere.
    pub source_cidrs: Vec<Cidr>,
}

/// The policy of an account that may do this with these buckets.
pub fn of_account(buckets: &[(String, AccessMode)], scope: &Scope) -> String {
    let mut statements = Vec::new();
    for mode in AccessMode::ALL {
        let of_mode = buckets.iter().filter(|(_, of)| *of == mode);
        let names: Vec<_> = of_mode.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            statements.extend(of_mode_statements(mode, &names, scope));
        }
    }
    document(&statements)
}

fn of_mode_statements(mode: AccessMode, names: &[&str], scope: &Scope) -> Vec<Value> {
    let of = Resources { names, scope };
    let read = || of.objects(&READ, None);
    let write = [&[PUT], UPLOAD.as_slice()].concat();
    match mode {
        AccessMode::ReadOnly => [of.lists(false), vec![read()]].concat(),
        AccessMode::WriteOnly => vec![of.buckets(&LOOK[..1], None), of.objects(&write, None)],
        AccessMode::AppendOnly => {
            let create_only = json!({"Bool": {"larder:CreateOnly": "true"}});
            let own = [READ.as_slice(), &UPLOAD].concat();
            let put = of.objects(&[PUT], Some(create_only));
            [of.lists(true), vec![of.objects(&own, None), put]].concat()
        }
        AccessMode::ReadWrite => {
            let all = [READ.as_slice(), &write, &CHANGE].concat();
            [of.lists(true), vec![of.objects(&all, None)]].concat()
        }
        AccessMode::Admin => of.administration(),
    }
}

struct Resources<'a> {
    names: &'a [&'a str],
    scope: &'a Scope,
}

impl Resources<'_> {
    fn lists(&self, with_uploads: bool) -> Vec<Value> {
        let mut look = LOOK.to_vec();
        look.extend(with_uploads.then_some(UPLOADS));
        let below = self
            .scope
            .prefix
            .as_ref()
            .map(|prefix| json!({"StringLike": {"s3:prefix": format!("{prefix}*")}}));
        match below {
            None => vec![self.buckets(&[look.as_slice(), &LIST].concat(), None)],
            below => vec![self.buckets(&look, None), self.buckets(&LIST, below)],
        }
    }

    fn administration(&self) -> Vec<Value> {
        let resources = [self.bucket_arns(), self.object_arns()].concat();
        let mut deny = statement(&NEVER, &self.bucket_arns(), None);
        if let Some(deny) = deny.as_object_mut() {
            deny.insert("Effect".to_owned(), json!("Deny"));
            deny.insert("Resource".to_owned(), json!(resources));
        }
        vec![
            statement(&["s3:*"], &resources, self.conditions(None)),
            deny,
        ]
    }

    fn buckets(&self, actions: &[&str], condition: Option<Value>) -> Value {
        statement(actions, &self.bucket_arns(), self.conditions(condition))
    }

    fn objects(&self, actions: &[&str], condition: Option<Value>) -> Value {
        statement(actions, &self.object_arns(), self.conditions(condition))
    }

    fn bucket_arns(&self) -> Vec<String> {
        self.names.iter().map(|name| arn(name)).collect()
    }

    fn object_arns(&self) -> Vec<String> {
        let prefix = self.scope.prefix.as_deref().unwrap_or_default();
        let of = |name: &&str| format!("{}/{prefix}*", arn(name));
        self.names.iter().map(of).collect()
    }

    /// `condition`, and that the request comes from where it may.
    fn conditions(&self, condition: Option<Value>) -> Option<Value> {
        let mut all = match condition {
            Some(Value::Object(all)) => all,
            _ => Map::new(),
        };
        let networks = self.scope.source_cidrs.iter().map(Cidr::to_string);
        let networks: Vec<_> = networks.collect();
        if !networks.is_empty() {
            all.insert("IpAddress".to_owned(), json!({"aws:SourceIp": networks}));
        }
        (!all.is_empty()).then_some(Value::Object(all))
    }
}

fn arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

fn statement(actions: &[&str], resources: &[String], condition: Option<Value>) -> Value {
    let mut out = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
    if let (Some(out), Some(condition)) = (out.as_object_mut(), condition) {
        out.insert("Condition".to_owned(), condition);
    }
    out
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// As [`document`], for people: a statement on each line.
fn lines(statements: &[Value]) -> String {
    let lines: Vec<_> = statements.iter().map(|one| format!("  {one}")).collect();
    let lines = lines.join(",\n");
    format!("{{\"Version\": \"2012-10-17\", \"Statement\": [\n{lines}\n]}}")
}

/// Whom a role is for.
#[derive(Clone, Copy, Debug)]
pub struct Trusted<'a> {
    /// The account that the provider is of.
    pub account: &'a str,
    /// `https://…` of the provider.
    pub provider: &'a str,
    /// What tokens must be for.
    pub audience: &'a str,
    /// The service account's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// The trust policy of a role that one service account takes on.
pub fn of_trust(trusted: &Trusted<'_>) -> String {
    let host = trusted.provider;
    let host = host
        .strip_prefix("https://")
        .or_else(|| host.strip_prefix("http://"));
    let host = host.unwrap_or(trusted.provider);
    let account = trusted.account;
    let (namespace, name) = (trusted.namespace, trusted.name);
    let mut equals = Map::new();
    let subject = format!("system:serviceaccount:{namespace}:{name}");
    equals.insert(format!("{host}:sub"), json!(subject));
    equals.insert(format!("{host}:aud"), json!(trusted.audience));
    document(&[json!({
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{account}:oidc-provider/{host}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": equals},
    })])
}

/// What the driver itself needs, where it is not the account's root: buckets, and the users and roles below its own path. Quotas are not in it: see
/// `docs/cosi-parameters.md`.
pub fn of_driver(driver: &str) -> String {
    let below = |word: &str| format!("arn:aws:iam::*:{word}/cosi/{driver}/*");
    let buckets = [
        "s3:CreateBucket",
        "s3:DeleteBucket",
        "s3:TagResource",
        "s3:*BucketTagging",
        "s3:PutBucketVersioning",
        "s3:PutBucketObjectLockConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:PutEncryptionConfiguration",
        "s3:*BucketPolicy",
        "s3:ListBucket",
        "s3:ListBucketVersions",
        "s3:ListBucketMultipartUploads",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:GetObjectRetention",
        "s3:GetObjectLegalHold",
    ];
    let accounts = [
        "iam:*User",
        "iam:*Role",
        "iam:*Policy",
        "iam:*AccessKey",
        "iam:ListAccessKeys",
        "larder:RecoverAccessKey",
    ];
    lines(&[
        statement(&["s3:ListAllMyBuckets"], &["*".to_owned()], None),
        statement(&buckets, &["arn:aws:s3:::*".to_owned()], None),
        statement(&accounts, &[below("user"), below("role")], None),
        // What is not there has no path yet.
        statement(
            &[
                "iam:GetUser",
                "iam:GetRole",
                "iam:ListUsers",
                "iam:ListRoles",
            ],
            &["*".to_owned()],
            None,
        ),
    ])
}

const TRASH: &str = "LarderCosiTrash";

/// A bucket's policy that shuts everybody out but `arns`, beside what it says already.
pub fn closed(policy: Option<&str>, bucket: &str, arns: &[String]) -> String {
    let bucket = arn(bucket);
    let mut statements = without_trash(policy);
    statements.push(json!({
        "Sid": TRASH,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, format!("{bucket}/*")],
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": arns}},
    }));
    document(&statements)
}

/// A bucket's policy as it was before [`closed`]; `None`: there was none.
pub fn opened(policy: Option<&str>) -> Option<String> {
    let statements = without_trash(policy);
    (!statements.is_empty()).then(|| document(&statements))
}

fn without_trash(policy: Option<&str>) -> Vec<Value> {
    let parsed = policy.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let statements = parsed.and_then(|mut policy| policy.get_mut("Statement").map(Value::take));
    let all = match statements {
        Some(Value::Array(all)) => all,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let is_ours = |one: &Value| one.get("Sid").and_then(Value::as_str) == Some(TRASH);
    all.into_iter().filter(|one| !is_ours(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(policy: &str) -> Vec<Value> {
        let mut parsed: Value = serde_json::from_str(policy).unwrap();
        let Value::Array(all) = parsed["Statement"].take() else {
            panic!("{policy}");
        };
        all
    }

    fn one(mode: AccessMode, scope: &Scope) -> String {
        of_account(&[("b".to_owned(), mode)], scope)
    }

    #[test]
    fn every_policy_names_its_bucket_and_prefix_alone() {
        let scope = Scope {
            prefix: Some("p/".to_owned()),
            source_cidrs: Vec::new(),
        };
        for mode in AccessMode::ALL {
            let scope = match mode {
                AccessMode::Admin => &Scope::default(),
                _ => &scope,
            };
            for statement in statements(&one(mode, scope)) {
                for resource in statement["Resource"].as_array().unwrap() {
                    let resource = resource.as_str().unwrap();
                    let objects = match mode {
                        AccessMode::Admin => "arn:aws:s3:::b/*",
                        _ => "arn:aws:s3:::b/p/*",
                    };
                    assert!(
                        resource == "arn:aws:s3:::b" || resource == objects,
                        "{resource}"
                    );
                }
            }
        }
    }

    #[test]
    fn networks_bound_whatever_is_allowed() {
        let scope = Scope {
            prefix: None,
            source_cidrs: crate::parameters::AccessParameters::parse(
                &[("sourceCIDRs".to_owned(), "10.0.0.0/8".to_owned())].into(),
            )
            .unwrap()
            .source_cidrs,
        };
        for mode in AccessMode::ALL {
            for statement in statements(&one(mode, &scope)) {
                let bound = &statement["Condition"]["IpAddress"]["aws:SourceIp"];
                let is_deny = statement["Effect"] == "Deny";
                assert!(is_deny || *bound == json!(["10.0.0.0/8"]), "{statement}");
            }
        }
    }

    #[test]
    fn every_policy_fits_a_user_of_iam() {
        let long = "b".repeat(63);
        for mode in AccessMode::ALL {
            let scope = Scope {
                prefix: (mode != AccessMode::Admin).then(|| "p".repeat(64)),
                source_cidrs: Vec::new(),
            };
            let policy = of_account(&[(long.clone(), mode)], &scope);
            assert!(policy.len() < 2048, "{mode:?}: {}", policy.len());
        }
    }

    #[test]
    fn buckets_of_one_mode_share_statements() {
        let all = [
            ("a".to_owned(), AccessMode::ReadOnly),
            ("b".to_owned(), AccessMode::ReadWrite),
            ("c".to_owned(), AccessMode::ReadOnly),
        ];
        let policy = of_account(&all, &Scope::default());
        assert_eq!(statements(&policy).len(), 4);
        assert!(
            policy.contains(r#"["arn:aws:s3:::a/*","arn:aws:s3:::c/*"]"#),
            "{policy}"
        );
    }

    #[test]
    fn the_trash_is_added_to_what_a_policy_says_and_taken_away_again() {
        let arns = ["arn:aws:iam::1:root".to_owned()];
        let before = r#"{"Statement":[{"Sid":"own"}],"Version":"2012-10-17"}"#;
        let shut = closed(Some(before), "b", &arns);
        assert_eq!(statements(&shut).len(), 2);
        assert_eq!(closed(Some(&shut), "b", &arns), shut);
        assert_eq!(opened(Some(&shut)).unwrap(), before);
        let only = closed(None, "b", &arns);
        assert_eq!(opened(Some(&only)), None);
        assert_eq!(opened(None), None);
    }

    #[test]
    fn a_role_is_for_one_service_account_and_audience() {
        let trust = of_trust(&Trusted {
            account: "1",
            provider: "https://oidc.example/c",
            audience: "larder",
            namespace: "db",
            name: "backup",
        });
        let statement = statements(&trust).remove(0);
        assert_eq!(
            statement["Condition"]["StringEquals"],
            json!({"oidc.example/c:sub": "system:serviceaccount:db:backup", "oidc.example/c:aud": "larder"})
        );
        assert_eq!(
            statement["Principal"]["Federated"],
            "arn:aws:iam::1:oidc-provider/oidc.example/c"
        );
    }
}
