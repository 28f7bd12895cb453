//! What is asked, and where it is written that it must be so.

mod access;
mod buckets;
mod crash;
mod fields;
mod identity;
mod order;
mod storage;
mod v1alpha2;
mod whole;

use futures_util::future::BoxFuture;

use super::{driver::Api, report::Checked, say, world::World};
use crate::cli::Failure;

const SPEC: &str = "COSI specification v0.2.2";
const KEP: &str = "KEP-1979";
const SIDECAR: &str = "sidecar v0.2.2";
const SIDECAR2: &str = "sidecar of v1alpha2";

const ONE: &[Api] = &[Api::V1alpha1];
const TWO: &[Api] = &[Api::V1alpha2];
const BOTH: &[Api] = &[Api::V1alpha1, Api::V1alpha2];

/// A check.
#[derive(Clone, Copy)]
pub struct Check {
    /// In a line of the report.
    pub name: &'static str,
    /// What must be so.
    pub what: &'static str,
    /// Where it is written, or who depends on it.
    pub source: &'static str,
    /// In which versions it must be so.
    pub apis: &'static [Api],
    /// Makes it.
    pub run: for<'a> fn(&'a World) -> BoxFuture<'a, Checked>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! checks {
    ($($name:literal $source:ident $apis:ident $run:path, $what:literal;)*) => {
        /// All of them, in the order in which they are made.
        pub const ALL: &[Check] = &[$(Check {
            name: $name,
            what: $what,
            source: $source,
            apis: $apis,
            run: |world| Box::pin($run(world)),
        }),*];
    };
}

checks! {
    "identity-name" SPEC BOTH identity::name, "DriverGetInfo answers a name of at most 63 characters in domain form";
    "identity-stable" SIDECAR BOTH identity::stable, "the name is asked once and used for ever: it is the same for every connection";
    "identity-protocols" SIDECAR2 TWO v1alpha2::protocols, "at least one protocol is supported, each is known, and none is said twice: the sidecar ends otherwise";
    "identity-health" KEP BOTH identity::health, "where the driver has gRPC's health service, it says SERVING";
    "create-idempotent" SPEC BOTH buckets::create_idempotent, "the same name with the same parameters is OK again, with the same bucket_id";
    "create-concurrent" SPEC BOTH buckets::create_concurrent, "equal calls at once all end well, with the same bucket_id; ABORTED asks to repeat";
    "create-long-name" SPEC BOTH buckets::create_long_name, "a name of 63 characters is one";
    "create-other-parameters" SPEC BOTH buckets::create_other_parameters, "the same name with other parameters is ALREADY_EXISTS";
    "create-after-delete" KEP BOTH buckets::create_after_delete, "a name that was deleted can be had again";
    "create-answer" SIDECAR2 TWO v1alpha2::create_answer, "the protocols that were asked for and no other, with bucket_id, endpoint, region and addressing style, the same each time";
    "generate-bucket-id" KEP TWO v1alpha2::generate_bucket_id, "a name has one identifier, another name another; nothing is made by asking";
    "get-bucket" SIDECAR2 TWO v1alpha2::get_bucket, "a bucket that is there is answered as it was when it was made, one that is not there with NOT_FOUND: the sidecar waits for it";
    "delete-idempotent" SPEC BOTH buckets::delete_idempotent, "what is not there any more is deleted: OK, or NOT_FOUND which the sidecar takes for OK";
    "delete-unknown" SPEC BOTH buckets::delete_unknown, "what never was there is deleted: OK or NOT_FOUND";
    "delete-concurrent" SPEC BOTH buckets::delete_concurrent, "equal calls at once all end well";
    "grant-idempotent" SPEC BOTH access::grant_idempotent, "the same name for the same bucket is OK again: the Secret keeps the first answer, so account and keys are the same";
    "grant-concurrent" SPEC BOTH access::grant_concurrent, "equal calls at once all give the same keys";
    "grant-credentials" SIDECAR ONE access::grant_credentials, "one entry s3 with accessKeyID, accessSecretKey, endpoint (a URL) and region: what is missing is empty in the Secret";
    "grant-several-accounts" SPEC BOTH access::grant_several_accounts, "two names for one bucket are two accounts with keys of their own";
    "grant-never-already-exists" SIDECAR ONE access::grant_never_already_exists, "the sidecar dies of ALREADY_EXISTS from Grant: a conflict is INVALID_ARGUMENT or FAILED_PRECONDITION";
    "grant-absent-bucket" SPEC BOTH access::grant_absent_bucket, "a bucket that is not there is NOT_FOUND";
    "grant-answer" SIDECAR2 TWO access::grant_credentials, "each bucket that was asked for and no other, with endpoint (a URL), region and addressing style; both halves of a key; nothing of other protocols";
    "generate-access-id" KEP TWO v1alpha2::generate_access_id, "a name has one identifier, another name another; nothing is granted by asking";
    "grant-several-buckets" KEP TWO v1alpha2::grant_several_buckets, "access to two buckets is one account with one key, which works for both; OUT_OF_RANGE where a driver has one bucket for each";
    "grant-other-access" SIDECAR2 TWO v1alpha2::grant_other_access, "the same account for another bucket, mode or other parameters is ALREADY_EXISTS, and what was granted stays as it is";
    "grant-service-account" KEP TWO access::grant_iam, "SERVICE_ACCOUNT is granted, or INVALID_ARGUMENT";
    "grant-iam" SPEC ONE access::grant_iam, "IAM is granted, or INVALID_ARGUMENT";
    "revoke-idempotent" SPEC BOTH access::revoke_idempotent, "an account that is not there any more is revoked: the sidecar takes nothing but OK";
    "revoke-unknown" SIDECAR BOTH access::revoke_unknown, "every sidecar handles every deletion: what another driver granted is revoked, OK, and nothing is touched";
    "revoke-empty-account" SIDECAR ONE access::revoke_empty_account, "an access that was never granted is revoked with an empty account_id: OK";
    "revoke-concurrent" SPEC BOTH access::revoke_concurrent, "equal calls at once all end well";
    "fields-empty" SPEC ONE fields::empty, "required fields that are empty are INVALID_ARGUMENT";
    "fields-oversized" SPEC ONE fields::oversized, "strings of more than 128 bytes and maps of more than 4 KiB are INVALID_ARGUMENT";
    "fields-unknown-authentication" SPEC BOTH fields::unknown_authentication, "an authentication type that is not known is INVALID_ARGUMENT";
    "fields-missing" KEP TWO v1alpha2::missing, "identifiers, buckets and modes that are missing are INVALID_ARGUMENT";
    "fields-protocol" KEP TWO v1alpha2::wrong_protocol, "a protocol that is missing or not supported is INVALID_ARGUMENT";
    "order-delete-before-revoke" SIDECAR BOTH order::delete_before_revoke, "a claim that is deleted while accesses live is deleted first and revoked after: both OK";
    "order-grant-after-revoke" KEP BOTH order::grant_after_revoke, "an access that was revoked can be granted again, with keys that work";
    "storage-use" KEP BOTH storage::usable, "with what was granted objects are written, read, listed and deleted, in the bucket of the name that applications see";
    "storage-revoked" KEP BOTH storage::revoked, "keys that were revoked are refused";
    "storage-other-bucket" KEP BOTH storage::other_bucket, "keys for one bucket are refused for another one";
    "storage-one-revoked" KEP BOTH storage::one_revoked, "revoking one access leaves another one to the same bucket as it is";
    "storage-delete-nonempty" KEP BOTH storage::delete_nonempty, "a bucket that is not empty stays, with FAILED_PRECONDITION until it is empty, or goes with all that is in it (--delete-nonempty)";
    "storage-read-only" KEP TWO v1alpha2::read_only, "READ_ONLY reads, and is refused when it writes or deletes";
    "crash-create" SPEC BOTH crash::create, "killed while it makes a bucket, the driver ends with the same bucket when asked again";
    "crash-grant" SPEC BOTH crash::grant, "killed while it grants access, the driver ends with one account whose keys stay the same";
    "crash-revoke" SPEC BOTH crash::revoke, "killed while it revokes access or deletes a bucket, the driver ends with nothing left when asked again";
    "transient-faults" SPEC BOTH whole::transient_faults, "without its storage a driver answers what passes, not what is final, and goes on when it is back";
    "errors-human" SPEC BOTH whole::errors_human, "every refusal has a message, and no details";
    "errors-proper" SPEC BOTH whole::errors_proper, "no refusal is UNKNOWN or INTERNAL";
    "secrets-in-errors" SPEC BOTH whole::secrets_in_errors, "no message of a refusal holds a secret that was granted";
    "secrets-in-logs" SPEC BOTH whole::secrets_in_logs, "no log of the driver holds a secret that was granted";
}

/// Those of a version, in the order in which they are made.
pub fn of(api: Api) -> impl Iterator<Item = &'static Check> {
    ALL.iter().filter(move |check| check.apis.contains(&api))
}

impl Check {
    /// As the list and the documentation have it.
    fn versions(&self) -> &'static str {
        match self.apis {
            [Api::V1alpha1] => "v1alpha1",
            [Api::V1alpha2] => "v1alpha2",
            _ => "both",
        }
    }
}

/// Prints all checks, or those of a version.
///
/// # Errors
/// Nobody reads it.
pub fn list(api: Option<Api>, json: bool) -> Result<(), Failure> {
    let mut wanted = ALL
        .iter()
        .filter(|check| api.is_none_or(|api| check.apis.contains(&api)));
    if json {
        let checks = wanted.map(|check| {
            serde_json::json!({
                "name": check.name, "versions": check.versions(), "source": check.source, "what": check.what,
            })
        });
        return say(&serde_json::Value::Array(checks.collect()).to_string());
    }
    wanted.try_for_each(|check| {
        say(&format!(
            "{:<32}{:<10}{:<28}{}",
            check.name,
            check.versions(),
            check.source,
            check.what
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_is_documented_with_its_source() {
        let page = include_str!("../../../docs/cosi-sanity.md");
        for check in ALL {
            let row = format!(
                "| `{}` | {} | {} | {} |",
                check.name,
                check.what,
                check.versions(),
                check.source
            );
            assert!(page.contains(&row), "docs/cosi-sanity.md has no row\n{row}");
        }
        let (_, table) = page.split_once("| check |").unwrap();
        let rows = table.lines().filter(|it| it.starts_with("| `"));
        assert_eq!(rows.count(), ALL.len(), "rows of checks that are no more");
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = ALL.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
