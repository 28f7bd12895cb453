//! What a new user or role may do: policies by name, and the bucket and prefix that the built-in ones are for.

use clap::Args;

use super::{Tag, client::Client, form::Form, need};
use crate::cli::{Failure, api_error::ApiResult};

/// What the built-in policies for one bucket are called for short.
const SHORT: [(&str, &str); 4] = [
    ("read-only", "LarderReadOnly"),
    ("read-write", "LarderReadWrite"),
    ("write-only", "LarderWriteOnly"),
    ("append-only", "LarderAppendOnly"),
];
const BUILT_IN: &str = "arn:aws:iam::aws:policy/";

/// What it may do, and where it is kept.
#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// A policy to attach: read-only, read-write, write-only or append-only, which are for one --bucket; or the name or ARN of any other. May be
    /// given several times.
    #[arg(long = "policy", value_name = "POLICY")]
    policies: Vec<String>,
    /// The bucket that read-only, read-write, write-only and append-only are for.
    #[arg(long, requires = "policies")]
    pub(super) bucket: Option<String>,
    /// What keys begin with there, such as db1/ with the slash; without it the whole bucket.
    #[arg(long, requires = "bucket")]
    pub(super) prefix: Option<String>,
    /// A tag. May be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
    /// Where it is kept among others, such as /backup/.
    #[arg(long)]
    path: Option<String>,
    /// The policy that bounds what it may do, whatever else allows: a name or an ARN.
    #[arg(long, value_name = "POLICY")]
    boundary: Option<String>,
}

/// As [`ScopeArgs`], with policies looked up.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) arns: Vec<String>,
    tags: Vec<Tag>,
    path: Option<String>,
    boundary: Option<String>,
}

impl ScopeArgs {
    /// Looks policies up, before anything is made.
    ///
    /// # Errors
    /// There is no such policy, or one is for a bucket and none is named.
    pub(super) fn resolve(&self, client: &Client) -> Result<Scope, Failure> {
        let mut tags = self.tags.clone();
        for (key, value) in [("bucket", &self.bucket), ("prefix", &self.prefix)] {
            let Some(value) = value else { continue };
            if tags.iter().any(|tag| tag.key == key) {
                return Err(need(format!(
                    "--{key} sets the tag {key}: leave --tag {key}=… away"
                )));
            }
            let (key, value) = (key.to_owned(), value.clone());
            tags.push(Tag { key, value });
        }
        let has_bucket = tags.iter().any(|tag| tag.key == "bucket");
        let mut arns = Vec::new();
        for name in &self.policies {
            let arn = arn_of(client, name)?;
            if arn.starts_with("arn:aws:iam::aws:policy/Larder") && !has_bucket {
                return Err(need(format!(
                    "the policy {name} is for one bucket: say for which with --bucket (and --prefix)"
                )));
            }
            arns.push(arn);
        }
        let boundary = self.boundary.as_ref();
        let boundary = boundary.map(|name| arn_of(client, name)).transpose()?;
        Ok(Scope {
            arns,
            tags,
            path: self.path.clone(),
            boundary,
        })
    }

    /// `s3://bucket/prefix`.
    pub(super) fn address(&self) -> Option<String> {
        let bucket = self.bucket.as_ref()?;
        let prefix = self.prefix.as_deref().unwrap_or_default();
        Some(format!("s3://{bucket}/{prefix}"))
    }

    /// What is likely not meant.
    pub(super) fn warning(&self) -> Option<String> {
        let prefix = self.prefix.as_ref()?;
        let is_open = !prefix.ends_with('/') && !prefix.is_empty();
        is_open.then(|| {
            format!(
                "The prefix {prefix} has no slash at its end: it is also for {prefix}2 and whatever else begins so."
            )
        })
    }
}

impl Scope {
    pub(super) fn fill(&self, form: Form) -> Form {
        form.tags(&self.tags)
            .with_some("Path", self.path.as_deref())
            .with_some("PermissionsBoundary", self.boundary.as_deref())
    }
}

/// The last part of an ARN.
pub(super) fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The ARN of a policy by its name, short name or ARN.
///
/// # Errors
/// There is none.
pub(super) fn arn_of(client: &Client, name: &str) -> Result<String, Failure> {
    if name.starts_with("arn:") {
        return Ok(name.to_owned());
    }
    if let Some((_, long)) = SHORT.iter().find(|(short, _)| *short == name) {
        return Ok(format!("{BUILT_IN}{long}"));
    }
    if let Some(arn) = find(client, name)? {
        return Ok(arn);
    }
    Err(format!(
        "there is no policy {name}: larder policy list shows which there are, larder policy add {name} FILE makes it"
    )
    .into())
}

/// The ARN of the policy that is called so; the account's own comes before one that is built in.
pub(super) fn find(client: &Client, name: &str) -> ApiResult<Option<String>> {
    let all = client.all(&Form::iam("ListPolicies"), "Policies")?;
    let of_name = |policy: &&crate::cli::element::Element| policy.get("PolicyName") == name;
    let mut arns: Vec<_> = all.iter().filter(of_name).map(|p| p.get("Arn")).collect();
    arns.sort_by_key(|arn| arn.starts_with(BUILT_IN));
    Ok(arns.into_iter().next())
}

/// What a built-in policy is called for short.
pub(super) fn short(arn: &str) -> Option<&'static str> {
    let name = arn.strip_prefix(BUILT_IN)?;
    SHORT
        .iter()
        .find(|(_, long)| *long == name)
        .map(|(short, _)| *short)
}

/// Whether nobody made it and nobody can change it.
pub(super) fn is_built_in(arn: &str) -> bool {
    arn.starts_with(BUILT_IN)
}
