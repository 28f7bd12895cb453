//! What an account may do, as its tags keep it.

use super::{
    AccessMode, Authentication, Grant, Parameters, ProvisionError,
    bucket_state::{instant, instant_text},
};
use crate::{
    backend::{IdentityKind, Tags},
    parameters::{AccessParameters, text},
    policy::Scope,
};

const DRIVER: &str = "cosi.larder.dev/driver";
const ACCESS: &str = "cosi.larder.dev/access";
const GENERATION: &str = "cosi.larder.dev/generation";
const PREVIOUS: &str = "cosi.larder.dev/previous-generation";
/// Since when its keys don't work.
pub(super) const DISABLED: &str = "cosi.larder.dev/disabled";
const BUCKET: &str = "bucket/";
/// With fewer than fifty tags, which is what IAM takes.
const MAX_ACCESS_CHARS: usize = 40 * 256;

/// An access that is asked for, read and checked.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) account: String,
    pub(super) buckets: Vec<(String, AccessMode)>,
    pub(super) scope: Scope,
    pub(super) authentication: Authentication,
    pub(super) parameters: AccessParameters,
}

impl Access {
    /// # Errors
    /// [`ProvisionError::Invalid`].
    pub(super) fn of(grant: &Grant) -> Result<Self, ProvisionError> {
        let parameters = AccessParameters::parse(&grant.parameters)?;
        let mode = |of: Option<AccessMode>| of.unwrap_or(parameters.mode);
        let buckets = grant.buckets.iter();
        let access = Self {
            account: grant.account.clone(),
            buckets: buckets.map(|(id, of)| (id.clone(), mode(*of))).collect(),
            scope: Scope {
                prefix: parameters.prefix.clone(),
                source_cidrs: parameters.source_cidrs.clone(),
            },
            authentication: grant.authentication.clone(),
            parameters,
        };
        access.check()?;
        Ok(access)
    }

    fn check(&self) -> Result<(), ProvisionError> {
        let refused = |message: &str| Err(ProvisionError::Invalid(message.to_owned()));
        check_account(&self.account)?;
        if self.buckets.is_empty() {
            return refused("an access needs a bucket");
        }
        let mut names: Vec<_> = self.buckets.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() < self.buckets.len() {
            return refused("an access names each bucket once");
        }
        let is_admin = |(_, mode): &(String, AccessMode)| *mode == AccessMode::Admin;
        if self.scope.prefix.is_some() && self.buckets.iter().any(is_admin) {
            return refused(
                "access mode Admin is for whole buckets: the BucketAccessClass can't have a prefix",
            );
        }
        if text::encode(&self.canonical()).len() > MAX_ACCESS_CHARS {
            return refused("too many buckets for one access: ask for several");
        }
        Ok(())
    }

    pub(super) fn kind(&self) -> IdentityKind {
        match self.authentication {
            Authentication::Key => IdentityKind::User,
            Authentication::ServiceAccount { .. } => IdentityKind::Role,
        }
    }

    /// What two accesses are the same by. How keys rotate and what Secrets look like is not part of it: that may change.
    pub(super) fn canonical(&self) -> Parameters {
        let modes = self.buckets.iter();
        let modes = modes.map(|(id, mode)| (format!("{BUCKET}{id}"), mode.name().to_owned()));
        let mut out: Parameters = modes.collect();
        let who = match &self.authentication {
            Authentication::Key => "Key".to_owned(),
            Authentication::ServiceAccount { namespace, name } => {
                format!("ServiceAccount {namespace}/{name}")
            }
        };
        out.insert("authentication".to_owned(), who);
        let all = self.parameters.canonical();
        let fixed = ["prefix", "sourceCIDRs"].map(|key| all.get_key_value(key));
        let fixed = fixed.into_iter().flatten();
        out.extend(fixed.map(|(key, value)| (key.clone(), value.clone())));
        out
    }

    /// The tags of a new user or role.
    pub(super) fn tags(&self, driver: &str) -> Tags {
        let mut tags = Tags::new();
        tags.insert(DRIVER.to_owned(), driver.to_owned());
        text::put(&mut tags, ACCESS, &text::encode(&self.canonical()));
        tags.insert(GENERATION.to_owned(), "1".to_owned());
        tags
    }
}

/// What IAM lets a user be called, and a little less.
pub(super) fn check_account(account: &str) -> Result<(), ProvisionError> {
    let may_be = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    if (1..=64).contains(&account.len()) && account.bytes().all(may_be) {
        return Ok(());
    }
    let short: String = account.chars().take(80).collect();
    Err(ProvisionError::Invalid(format!(
        "{short:?} can't be an account's name: 1 to 64 letters, digits and +=,.@_-"
    )))
}

/// What the tags of an account say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccountState {
    /// `None` where somebody has changed the text.
    pub(super) access: Option<Parameters>,
    pub(super) generation: u64,
    /// That before; 0 where there was none.
    pub(super) previous: u64,
    pub(super) disabled: Option<time::OffsetDateTime>,
}

impl AccountState {
    /// `None`: this driver has not made it.
    pub(super) fn of(driver: &str, tags: &Tags) -> Option<Self> {
        let number = |key| tags.get(key).and_then(|text: &String| text.parse().ok());
        let is_ours = tags.get(DRIVER).is_some_and(|found| found == driver);
        is_ours.then(|| Self {
            access: text::decode(&text::get(tags, ACCESS)),
            generation: number(GENERATION).unwrap_or(1),
            previous: number(PREVIOUS).unwrap_or(0),
            disabled: tags.get(DISABLED).and_then(|text| instant(text)),
        })
    }

    pub(super) fn buckets(&self) -> Vec<(String, AccessMode)> {
        let all = self.access.iter().flatten();
        let bucket = |(key, mode): (&String, &String)| {
            let name = key.strip_prefix(BUCKET)?;
            Some((name.to_owned(), AccessMode::parse(mode)?))
        };
        all.filter_map(bucket).collect()
    }
}

pub(super) fn generation_tags(generation: u64, previous: u64) -> Tags {
    let tag = |key: &str, number: u64| (key.to_owned(), number.to_string());
    [tag(GENERATION, generation), tag(PREVIOUS, previous)].into()
}

pub(super) fn disabled_tags(now: time::OffsetDateTime) -> Tags {
    [(DISABLED.to_owned(), instant_text(now))].into()
}
