//! `larder-cosi orphans`: what is in the store and has no object in the cluster any more.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{OperateError, World};
use crate::{
    kube::account_name,
    provision::{AccountSummary, BucketSummary, Provisioner, instant_text},
};

/// What nobody in the cluster has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Accounts without a `BucketAccess`.
    pub accounts: Vec<AccountSummary>,
    /// Buckets without a `Bucket`.
    pub buckets: Vec<BucketSummary>,
    /// Why the list of objects is not to be believed, if it isn't.
    pub doubt: Option<String>,
}

/// Finds them.
pub fn find(world: &World) -> Orphans {
    let accounts: BTreeSet<String> = world
        .accesses
        .iter()
        .flat_map(|access| {
            let said = access.account().map(str::to_owned);
            [Some(account_name(&access.uid().unwrap_or_default())), said]
        })
        .flatten()
        .collect();
    let buckets: BTreeSet<&str> = world
        .buckets
        .iter()
        .filter_map(|bucket| bucket.id())
        .collect();
    let names: BTreeSet<String> = world.buckets.iter().map(ResourceExt::name_any).collect();
    let has_none = |account: &&AccountSummary| {
        account.account.starts_with("ba-") && !accounts.contains(&account.account)
    };
    let is_nobodys = |bucket: &&BucketSummary| {
        !buckets.contains(bucket.id.as_str()) && !names.contains(&bucket.id)
    };
    let found: Vec<AccountSummary> = world.accounts.iter().filter(has_none).cloned().collect();
    let doubt = (world.accesses.is_empty() && !found.is_empty())
        .then(|| format!("there is not one BucketAccess in this cluster, and {} accounts: is it the right cluster?", found.len()));
    Orphans {
        accounts: found,
        buckets: world.stored.iter().filter(is_nobodys).cloned().collect(),
        doubt,
    }
}

impl Orphans {
    /// For people.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for account in &self.accounts {
            let to: Vec<&str> = account
                .buckets
                .iter()
                .map(|(bucket, _)| bucket.as_str())
                .collect();
            let state = account
                .disabled
                .map_or_else(String::new, |since| format!(", disabled since {since}"));
            lines.push(format!(
                "account {}: to {}, made {}{state}",
                account.account,
                to.join(", "),
                account.created
            ));
        }
        for bucket in &self.buckets {
            let state = bucket
                .trashed_until
                .map_or_else(String::new, |until| format!(", in the trash until {until}"));
            lines.push(format!(
                "bucket {}: made {}{state}",
                bucket.id, bucket.created
            ));
        }
        if lines.is_empty() {
            lines.push("no orphans".to_owned());
        }
        lines.extend(self.doubt.iter().map(|doubt| format!("doubtful: {doubt}")));
        lines.join("\n") + "\n"
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "accounts": self.accounts.iter().map(account).collect::<Vec<_>>(),
            "buckets": self.buckets.iter().map(bucket).collect::<Vec<_>>(),
            "doubt": self.doubt,
        })
    }
}

fn account(account: &AccountSummary) -> Value {
    let buckets = account.buckets.iter();
    let buckets: Vec<Value> = buckets
        .map(|(bucket, mode)| json!({"bucket": bucket, "accessMode": mode.name()}))
        .collect();
    json!({
        "account": account.account,
        "buckets": buckets,
        "created": instant_text(account.created),
        "disabled": account.disabled.map(instant_text),
    })
}

fn bucket(bucket: &BucketSummary) -> Value {
    json!({
        "bucket": bucket.id,
        "created": instant_text(bucket.created),
        "trashedUntil": bucket.trashed_until.map(instant_text),
    })
}

/// Deletes the accounts, and never a bucket. Each is told once it is gone, so that it is known which are when a later one can't be deleted.
///
/// # Errors
/// [`OperateError::Doubtful`] where the list of objects is not to be believed and nobody insists; [`OperateError::Store`].
pub async fn delete(
    orphans: &Orphans,
    provisioner: &Provisioner,
    insist: bool,
    mut tell: impl FnMut(&str),
) -> Result<(), OperateError> {
    if let Some(doubt) = orphans.doubt.as_ref().filter(|_| !insist) {
        return Err(OperateError::Doubtful(format!(
            "{doubt} Nothing was deleted; --force deletes them even so"
        )));
    }
    for account in &orphans.accounts {
        provisioner.revoke(&account.account).await?;
        tell(&account.account);
    }
    Ok(())
}
