//! Accounts whose `BucketAccess` is gone: disabled after a while, deleted much later. Buckets without a `Bucket` object are only told of: nothing here deletes data.
//!
//! Accounts are cut off on the word of one list of the API server, so the list is doubted where it can be: one that fails or is empty decides nothing, nor one by which more accounts
//! would be orphans than plausible (another cluster's API server, a restored etcd). An account has to be missing from all lists of the grace, and to be older than it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};
use time::OffsetDateTime;

use crate::{
    controllers::{
        clock::{after, now},
        context::Context,
        failure::Failure,
        metrics::{ACCOUNTS, BUCKETS, ORPHAN_ACCOUNTS, ORPHAN_BUCKETS, ORPHANS_DOUBTFUL},
        settings::OrphanSettings,
    },
    kube::{Bucket, BucketAccess, account_name},
    pause::pause,
    provision::{AccountSummary, ProvisionError},
};

/// So few orphans are plausible, however few accounts there are.
const FEW: usize = 3;
/// What accounts of COSI's are called; others are not the cluster's.
const PREFIX: &str = "ba-";

/// Since when accounts are missing from the lists.
type Missing = HashMap<String, Timestamp>;

/// Looks for orphans and empties the trash, for as long as it is polled.
pub(crate) async fn run(ctx: Arc<Context>) {
    let mut missing = Missing::new();
    loop {
        if let Err(why) = round(&ctx, &mut missing).await {
            tracing::warn!("orphans were not looked for: {why}");
        }
        purge(&ctx).await;
        pause(ctx.settings.orphans.every).await;
    }
}

async fn round(ctx: &Context, missing: &mut Missing) -> Result<(), Failure> {
    // In this order: whoever is granted access in between is in the list and not among the accounts.
    let accounts = ctx.provisioner.accounts().await.map_err(store)?;
    let accesses = ctx
        .all::<BucketAccess>()
        .list(&ListParams::default())
        .await?;
    let live = accesses.iter().flat_map(names).collect();
    let verdict = judge(&accounts, &live, missing, &ctx.settings.orphans, now());
    let metrics = &ctx.metrics;
    metrics.set(ACCOUNTS, accounts.len());
    metrics.set(ORPHAN_ACCOUNTS, verdict.orphans);
    metrics.set(ORPHANS_DOUBTFUL, usize::from(verdict.is_doubtful));
    if verdict.is_doubtful {
        tracing::error!(
            orphans = verdict.orphans,
            accounts = accounts.len(),
            accesses = accesses.items.len(),
            "so many accounts have no BucketAccess that the list is doubted, and none is disabled; is this the right cluster? `larder-cosi orphans` shows them"
        );
    }
    carry_out(ctx, &verdict).await?;
    report_buckets(ctx).await
}

fn store(error: ProvisionError) -> Failure {
    Failure::Store("Orphans", error)
}

/// The accounts of an access: that of its uid, and the one that it says it has.
fn names(access: &BucketAccess) -> Vec<String> {
    let made = account_name(&access.uid().unwrap_or_default());
    let said = access.account().map(str::to_owned);
    std::iter::once(made).chain(said).collect()
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    orphans: usize,
    is_doubtful: bool,
    disable: Vec<String>,
    delete: Vec<String>,
}

fn judge(
    accounts: &[AccountSummary],
    live: &BTreeSet<String>,
    missing: &mut Missing,
    settings: &OrphanSettings,
    now: Timestamp,
) -> Verdict {
    let orphans: Vec<_> = accounts
        .iter()
        .filter(|account| account.account.starts_with(PREFIX) && !live.contains(&account.account))
        .collect();
    let is_doubtful = is_doubtful(accounts, &orphans, live, settings);
    if is_doubtful {
        missing.clear();
    } else {
        missing.retain(|name, _| orphans.iter().any(|orphan| orphan.account == *name));
    }
    let mut verdict = Verdict {
        orphans: orphans.len(),
        is_doubtful,
        ..Verdict::default()
    };
    for orphan in orphans.iter().filter(|_| !is_doubtful) {
        let first = *missing.entry(orphan.account.clone()).or_insert(now);
        let since = first.max(timestamp(orphan.created));
        let is_due = after(since, settings.grace) <= now;
        match orphan.disabled.map(timestamp) {
            _ if !is_due => {}
            None => verdict.disable.push(orphan.account.clone()),
            Some(when) if after(when, settings.delete_after) <= now => {
                verdict.delete.push(orphan.account.clone());
            }
            Some(_) => {}
        }
    }
    verdict
}

fn is_doubtful(
    accounts: &[AccountSummary],
    orphans: &[&AccountSummary],
    live: &BTreeSet<String>,
    settings: &OrphanSettings,
) -> bool {
    if orphans.is_empty() {
        return false;
    }
    let able = |account: &&AccountSummary| account.disabled.is_none();
    let all = accounts.iter().filter(able).count();
    let orphans = orphans.iter().filter(|orphan| able(orphan)).count();
    let plausible = all * usize::from(settings.limit_percent) / 100;
    live.is_empty() || orphans > plausible.max(FEW)
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp::from_second(time.unix_timestamp()).unwrap_or(Timestamp::MAX)
}

async fn carry_out(ctx: &Context, verdict: &Verdict) -> Result<(), Failure> {
    for account in &verdict.disable {
        ctx.provisioner.disable(account).await.map_err(store)?;
        ctx.metrics.orphan("disabled");
        tracing::warn!(
            account,
            "an account has no BucketAccess any more: its credentials are disabled"
        );
    }
    for account in &verdict.delete {
        ctx.provisioner.revoke(account).await.map_err(store)?;
        ctx.metrics.orphan("deleted");
        tracing::warn!(
            account,
            "an account that had no BucketAccess for long is deleted"
        );
    }
    Ok(())
}

async fn report_buckets(ctx: &Context) -> Result<(), Failure> {
    let made = ctx.provisioner.buckets().await.map_err(store)?;
    let objects = ctx.all::<Bucket>().list(&ListParams::default()).await?;
    let known: BTreeSet<_> = objects.iter().filter_map(Bucket::wanted_id).collect();
    let orphans: Vec<_> = made
        .iter()
        .filter(|bucket| bucket.trashed_until.is_none() && !known.contains(bucket.id.as_str()))
        .collect();
    ctx.metrics.set(BUCKETS, made.len());
    ctx.metrics.set(ORPHAN_BUCKETS, orphans.len());
    for bucket in orphans.iter().take(10) {
        tracing::info!(
            bucket = bucket.id,
            "a bucket has no Bucket object; `larder-cosi orphans` tells more"
        );
    }
    Ok(())
}

async fn purge(ctx: &Context) {
    match ctx.provisioner.purge_trash().await {
        Ok(purged) => {
            for id in purged.deleted {
                tracing::info!(
                    bucket = id,
                    "a bucket was in the trash long enough: it is gone"
                );
            }
            for (id, why) in purged.kept {
                tracing::info!(bucket = id, "a bucket stays in the trash: {why}");
            }
        }
        Err(why) => tracing::warn!("the trash was not emptied: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn settings() -> OrphanSettings {
        OrphanSettings {
            every: MINUTE,
            grace: MINUTE * 15,
            delete_after: MINUTE * 60,
            limit_percent: 20,
        }
    }

    fn at(minutes: u32) -> Timestamp {
        after(START, MINUTE * minutes)
    }

    fn account(name: &str) -> AccountSummary {
        AccountSummary {
            account: name.to_owned(),
            buckets: Vec::new(),
            created: OffsetDateTime::UNIX_EPOCH,
            generation: 1,
            disabled: None,
        }
    }

    fn live(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn look(
        accounts: &[AccountSummary],
        names: &[&str],
        missing: &mut Missing,
        minutes: u32,
    ) -> Verdict {
        judge(accounts, &live(names), missing, &settings(), at(minutes))
    }

    #[test]
    fn an_orphan_is_disabled_after_the_grace_and_not_before() {
        let accounts = [account("ba-1"), account("ba-2")];
        let mut missing = Missing::new();
        for minutes in [0, 5, 14] {
            let verdict = look(&accounts, &["ba-2"], &mut missing, minutes);
            assert_eq!((verdict.orphans, verdict.disable.len()), (1, 0));
        }
        let verdict = look(&accounts, &["ba-2"], &mut missing, 15);
        assert_eq!(verdict.disable, ["ba-1"]);
    }

    #[test]
    fn an_account_that_was_seen_in_between_starts_anew() {
        let accounts = [account("ba-1"), account("ba-2")];
        let mut missing = Missing::new();
        look(&accounts, &["ba-2"], &mut missing, 0);
        look(&accounts, &["ba-1", "ba-2"], &mut missing, 14);
        assert_eq!(
            look(&accounts, &["ba-2"], &mut missing, 16).disable,
            [""; 0]
        );
    }

    #[test]
    fn an_empty_list_decides_nothing() {
        let accounts = [account("ba-1")];
        let mut missing = Missing::new();
        for minutes in [0, 60, 600] {
            let verdict = look(&accounts, &[], &mut missing, minutes);
            assert!(verdict.is_doubtful && verdict.disable.is_empty());
        }
    }

    #[test]
    fn a_list_that_lacks_too_many_decides_nothing_and_the_grace_starts_anew_after_it() {
        let names: Vec<_> = (0..20).map(|number| format!("ba-{number}")).collect();
        let accounts: Vec<_> = names.iter().map(|name| account(name)).collect();
        let all: Vec<_> = names.iter().map(String::as_str).collect();
        let mut missing = Missing::new();
        look(&accounts, &all[1..], &mut missing, 0);
        assert!(look(&accounts, &all[5..], &mut missing, 20).is_doubtful);
        let verdict = look(&accounts, &all[4..], &mut missing, 21);
        assert!(!verdict.is_doubtful && verdict.disable.is_empty());
        assert_eq!(
            look(&accounts, &all[4..], &mut missing, 36).disable.len(),
            4
        );
    }

    #[test]
    fn what_was_disabled_long_ago_is_deleted_and_does_not_count_against_the_limit() {
        let mut accounts: Vec<_> = (0..6)
            .map(|number| account(&format!("ba-{number}")))
            .collect();
        for account in &mut accounts[..5] {
            account.disabled = Some(OffsetDateTime::UNIX_EPOCH);
        }
        let mut missing = Missing::new();
        let first = look(&accounts, &["ba-5"], &mut missing, 50);
        assert!(!first.is_doubtful && first.delete.is_empty());
        assert_eq!(look(&accounts, &["ba-5"], &mut missing, 65).delete.len(), 5);
    }

    #[test]
    fn young_accounts_and_those_that_are_not_cosis_are_left_alone() {
        let mut young = account("ba-young");
        young.created = OffsetDateTime::UNIX_EPOCH + time::Duration::minutes(20);
        let accounts = [young, account("sanity-check"), account("ba-live")];
        let mut missing = Missing::from([("ba-young".to_owned(), START)]);
        let verdict = look(&accounts, &["ba-live"], &mut missing, 21);
        assert_eq!((verdict.orphans, verdict.disable.len()), (1, 0));
    }
}
