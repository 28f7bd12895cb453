//! `larder-cosi doctor`: one line for each thing that has to be right, and what to do where it isn't.

mod clocks;
mod controllers;

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::World;
use crate::{
    controllers::Places,
    kube::{BucketAccess, GROUP, VERSION, info_name, same_driver},
    parameters::{AccessParameters, BucketParameters},
    provision::{ProvisionError, Provisioner},
};

const APPROVAL: &str = "api-approved.kubernetes.io";
const PLURALS: [&str; 5] = [
    "bucketaccessclasses",
    "bucketaccesses",
    "bucketclaims",
    "bucketclasses",
    "buckets",
];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works, perhaps not as intended.
    Odd,
    /// Something doesn't work.
    Wrong,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Odd => "odd",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub cure: String,
}

impl Check {
    fn fine(found: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fine,
            found: found.into(),
            cure: String::new(),
        }
    }

    fn odd(found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Odd,
            found: found.into(),
            cure: cure.into(),
        }
    }

    fn wrong(found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Wrong,
            found: found.into(),
            cure: cure.into(),
        }
    }

    fn line(&self) -> String {
        let word = self.verdict.word();
        if self.cure.is_empty() {
            format!("{word:<5}  {}\n", self.found)
        } else {
            format!("{word:<5}  {}\n       -> {}\n", self.found, self.cure)
        }
    }
}

/// For people.
pub fn text(checks: &[Check]) -> String {
    checks.iter().map(Check::line).collect()
}

/// For programs.
pub fn json(checks: &[Check]) -> Value {
    let each = checks.iter().map(
        |check| json!({"verdict": check.verdict.word(), "found": check.found, "cure": check.cure}),
    );
    json!({"well": is_well(checks), "checks": each.collect::<Vec<_>>()})
}

/// Whether nothing is wrong.
pub fn is_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Wrong)
}

/// Looks at everything that can be looked at.
pub async fn examine(client: &Client, provisioner: &Provisioner, places: &Places) -> Vec<Check> {
    let driver = &places.driver;
    let mut checks = vec![store(provisioner).await];
    checks.extend(clocks::of_store(provisioner).await);
    let version = match client.apiserver_version().await {
        Ok(version) => version,
        Err(error) => {
            checks.push(Check::wrong(
                format!("the API server does not answer: {error}"),
                "see --kubeconfig, and whether the cluster is up",
            ));
            return checks;
        }
    };
    checks.push(Check::fine(format!(
        "the API server answers: {}",
        version.git_version
    )));
    checks.extend(clocks::of_cluster(client, provisioner.settings().now).await);
    checks.extend(controllers::examine(client, places).await);
    checks.extend(definitions(client).await);
    match World::of_cluster(client).await {
        Ok(world) => {
            checks.extend(classes(&world, driver));
            checks.extend(of_store(client, &world, provisioner, driver).await);
        }
        Err(error) => checks.push(Check::wrong(format!("objects of COSI can't be listed: {error}"), "install the CRDs (the chart does), or give whoever runs this the rights of docs/cosi-rbac.json")),
    }
    checks
}

async fn store(provisioner: &Provisioner) -> Check {
    let endpoint = &provisioner.settings().endpoint;
    match provisioner.check().await {
        Ok(_) => Check::fine(format!(
            "Larder answers at {endpoint} and takes the driver's credentials"
        )),
        Err(error @ ProvisionError::Denied(_)) => Check::wrong(
            format!("Larder at {endpoint} refuses the driver: {error}"),
            "see LARDER_COSI_ACCESS_KEY and LARDER_COSI_SECRET_KEY; RequestTimeTooSkewed means that clocks are more than 15 minutes apart",
        ),
        Err(error) => Check::wrong(
            format!("Larder does not answer at {endpoint}: {error}"),
            "see --endpoint, --ca-file, and whether the server is up",
        ),
    }
}

async fn definitions(client: &Client) -> Vec<Check> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut checks = Vec::new();
    for plural in PLURALS {
        let name = format!("{plural}.{GROUP}");
        match api.get_opt(&name).await {
            Ok(Some(found)) => checks.extend(definition(&name, &found)),
            Ok(None) => checks.push(Check::wrong(
                format!("there is no CRD {name}"),
                "install the chart with cosi.installCRDs, or upstream's CRDs of v0.2.2",
            )),
            Err(error) => {
                return vec![Check::odd(
                    format!("CRDs can't be read: {error}"),
                    "run this as somebody who may get customresourcedefinitions",
                )];
            }
        }
    }
    if checks.is_empty() {
        checks.push(Check::fine(format!("all five CRDs serve {VERSION}")));
    }
    checks
}

/// Only what is wrong.
fn definition(name: &str, found: &CustomResourceDefinition) -> Option<Check> {
    let served = found
        .spec
        .versions
        .iter()
        .any(|version| version.served && version.name == VERSION);
    if !found.annotations().contains_key(APPROVAL) {
        return Some(Check::wrong(
            format!("CRD {name} has no annotation {APPROVAL}: the API server does not serve it"),
            "apply upstream's kustomization or the chart's CRDs, not upstream's raw files",
        ));
    }
    (!served).then(|| {
        Check::wrong(
            format!("CRD {name} does not serve {VERSION}"),
            "the cluster runs another version of COSI: `larder-cosi migrate` is about that",
        )
    })
}

fn classes(world: &World, driver: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    let of = |name: &str| same_driver(name, driver);
    let others: BTreeSet<&str> = world
        .bucket_classes
        .iter()
        .map(|class| class.driver_name.as_str())
        .filter(|name| !of(name))
        .collect();
    if !world
        .bucket_classes
        .iter()
        .any(|class| of(&class.driver_name))
    {
        let named = if others.is_empty() {
            "there is none".to_owned()
        } else {
            format!(
                "there are those of {}",
                others.into_iter().collect::<Vec<_>>().join(", ")
            )
        };
        checks.push(Check::wrong(
            format!("no BucketClass is of driver {driver}: {named}"),
            "make one, or start the driver with the --driver-name that classes have",
        ));
    }
    if !world
        .access_classes
        .iter()
        .any(|class| of(&class.driver_name))
    {
        checks.push(Check::odd(
            format!("no BucketAccessClass is of driver {driver}"),
            "without one nobody gets credentials",
        ));
    }
    for class in world
        .bucket_classes
        .iter()
        .filter(|class| of(&class.driver_name))
    {
        let parsed = BucketParameters::parse(&class.parameters.clone().unwrap_or_default());
        checks.extend(parsed.err().map(|error| {
            Check::wrong(
                format!("BucketClass {}: {error}", class.name_any()),
                "docs/cosi-parameters.md has what there is",
            )
        }));
    }
    for class in world
        .access_classes
        .iter()
        .filter(|class| of(&class.driver_name))
    {
        let parsed = AccessParameters::parse(&class.parameters.clone().unwrap_or_default());
        checks.extend(parsed.err().map(|error| {
            Check::wrong(
                format!("BucketAccessClass {}: {error}", class.name_any()),
                "docs/cosi-parameters.md has what there is",
            )
        }));
    }
    if checks.is_empty() {
        checks.push(Check::fine(format!(
            "there are classes of driver {driver}, and their parameters are right"
        )));
    }
    checks
}

async fn of_store(
    client: &Client,
    world: &World,
    provisioner: &Provisioner,
    driver: &str,
) -> Vec<Check> {
    let Ok(accounts) = provisioner.accounts().await else {
        // Said above already.
        return Vec::new();
    };
    let accounts: BTreeSet<&str> = accounts
        .iter()
        .map(|account| account.account.as_str())
        .collect();
    let ours: BTreeSet<String> = world
        .access_classes
        .iter()
        .filter(|class| same_driver(&class.driver_name, driver))
        .map(ResourceExt::name_any)
        .collect();
    let mut checks = Vec::new();
    let mut seen = 0_usize;
    for access in world
        .accesses
        .iter()
        .filter(|access| ours.contains(&access.spec.bucket_access_class_name))
    {
        seen += 1;
        checks.extend(one_access(client, access, &accounts).await);
    }
    if checks.is_empty() {
        checks.push(Check::fine(format!(
            "{seen} accesses are granted, with account and Secret"
        )));
    }
    checks
}

async fn one_access(
    client: &Client,
    access: &BucketAccess,
    accounts: &BTreeSet<&str>,
) -> Option<Check> {
    let name = format!(
        "BucketAccess {}/{}",
        access.namespace().unwrap_or_default(),
        access.name_any()
    );
    let granted = access
        .status
        .as_ref()
        .filter(|status| status.access_granted);
    let Some(status) = granted else {
        return Some(Check::odd(
            format!("{name} is not granted"),
            "kubectl describe it: its events say why",
        ));
    };
    let account = status.account_id.as_deref().unwrap_or_default();
    if !accounts.contains(account) {
        return Some(Check::wrong(
            format!("{name}: its account {account} is not in the store"),
            "delete and make it again, or let the controllers grant it: see whether they run",
        ));
    }
    let secrets: Api<Secret> =
        Api::namespaced(client.clone(), &access.namespace().unwrap_or_default());
    let secret = &access.spec.credentials_secret_name;
    match secrets.get_opt(secret).await {
        Ok(Some(found)) if is_of(&found, access) => None,
        Ok(Some(_)) => Some(Check::wrong(
            format!("{name}: Secret {secret} is not this access's"),
            "delete that Secret, or name another one",
        )),
        Ok(None) => Some(Check::wrong(
            format!("{name}: there is no Secret {secret}"),
            "the controllers make it anew: see whether they run",
        )),
        Err(error) => Some(Check::odd(
            format!("{name}: Secret {secret} can't be read: {error}"),
            "run this as somebody who may get secrets",
        )),
    }
}

fn is_of(secret: &Secret, access: &BucketAccess) -> bool {
    let info = secret.data.as_ref().and_then(|data| data.get("BucketInfo"));
    let info: Option<Value> = info.and_then(|bytes| serde_json::from_slice(&bytes.0).ok());
    info.is_some_and(|info| {
        info.pointer("/metadata/name").and_then(Value::as_str)
            == Some(&info_name(&access.uid().unwrap_or_default()))
    })
}
