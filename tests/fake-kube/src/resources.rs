//! What kinds of object there are: those built in, and those that custom resources add.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// A resource in one version.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    /// Whether status is written by itself.
    pub(crate) status: bool,
    /// Whether changes are counted in `metadata.generation`.
    pub(crate) generation: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// Of a custom resource.
    pub(crate) schema: Option<Arc<Value>>,
    /// Whether a definition of custom resources made it.
    pub(crate) custom: bool,
    /// Where its objects are kept, whatever the version: `plural.group`.
    pub(crate) storage: String,
}

impl Resource {
    /// As messages name it: `bucketclaims.objectstorage.k8s.io`, `secrets`.
    pub(crate) fn qualified(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `group/version`, or `v1`.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
}

pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

pub(crate) fn qualified(plural: &str, group: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

/// Group, version, plural, kind, short names, and letters: n(amespaced), s(tatus), g(eneration).
const BUILT_IN: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("", "v1", "namespaces", "Namespace", "ns", "s"),
    ("", "v1", "nodes", "Node", "no", "s"),
    ("", "v1", "persistentvolumes", "PersistentVolume", "pv", "s"),
    ("", "v1", "configmaps", "ConfigMap", "cm", "n"),
    ("", "v1", "endpoints", "Endpoints", "ep", "n"),
    ("", "v1", "events", "Event", "ev", "n"),
    ("", "v1", "limitranges", "LimitRange", "limits", "n"),
    (
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        "pvc",
        "ns",
    ),
    ("", "v1", "pods", "Pod", "po", "nsg"),
    ("", "v1", "resourcequotas", "ResourceQuota", "quota", "ns"),
    ("", "v1", "secrets", "Secret", "", "n"),
    ("", "v1", "serviceaccounts", "ServiceAccount", "sa", "n"),
    ("", "v1", "services", "Service", "svc", "ns"),
    (
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        "crd,crds",
        "sg",
    ),
    ("apps", "v1", "daemonsets", "DaemonSet", "ds", "nsg"),
    ("apps", "v1", "deployments", "Deployment", "deploy", "nsg"),
    ("apps", "v1", "replicasets", "ReplicaSet", "rs", "nsg"),
    ("apps", "v1", "statefulsets", "StatefulSet", "sts", "nsg"),
    ("batch", "v1", "cronjobs", "CronJob", "cj", "nsg"),
    ("batch", "v1", "jobs", "Job", "", "nsg"),
    ("coordination.k8s.io", "v1", "leases", "Lease", "", "n"),
    (
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "EndpointSlice",
        "",
        "ng",
    ),
    ("events.k8s.io", "v1", "events", "Event", "ev", "n"),
    (
        "networking.k8s.io",
        "v1",
        "ingresses",
        "Ingress",
        "ing",
        "nsg",
    ),
    (
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
        "netpol",
        "ng",
    ),
    (
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        "pdb",
        "nsg",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        "",
        "",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "clusterroles",
        "ClusterRole",
        "",
        "",
    ),
    (
        "rbac.authorization.k8s.io",
        "v1",
        "rolebindings",
        "RoleBinding",
        "",
        "n",
    ),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", "", "n"),
    (
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        "pc",
        "g",
    ),
    (
        "storage.k8s.io",
        "v1",
        "storageclasses",
        "StorageClass",
        "sc",
        "",
    ),
];

/// All resources that are served, by group, version and plural.
#[derive(Clone, Debug)]
pub(crate) struct Registry(BTreeMap<(String, String, String), Arc<Resource>>);

impl Registry {
    pub(crate) fn built_in() -> Self {
        Self(
            BUILT_IN
                .iter()
                .map(built_in)
                .map(|resource| (key(&resource), Arc::new(resource)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.0
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    pub(crate) fn add(&mut self, resource: Resource) {
        self.0.insert(key(&resource), Arc::new(resource));
    }

    /// Takes out what a definition of custom resources made.
    pub(crate) fn remove_custom(&mut self, storage: &str) {
        self.0
            .retain(|_, resource| !(resource.custom && resource.storage == storage));
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.0.values()
    }

    /// One resource for each place where objects are kept.
    pub(crate) fn storages(&self) -> Vec<Arc<Resource>> {
        let mut first: BTreeMap<&str, &Arc<Resource>> = BTreeMap::new();
        for resource in self.0.values() {
            first.entry(&resource.storage).or_insert(resource);
        }
        first.into_values().cloned().collect()
    }
}

fn key(resource: &Resource) -> (String, String, String) {
    (
        resource.group.clone(),
        resource.version.clone(),
        resource.plural.clone(),
    )
}

fn built_in(row: &(&str, &str, &str, &str, &str, &str)) -> Resource {
    let (group, version, plural, kind, short, flags) = *row;
    // Both groups of events are two views of the same objects.
    let storage = if plural == "events" {
        plural.to_owned()
    } else {
        qualified(plural, group)
    };
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        namespaced: flags.contains('n'),
        status: flags.contains('s'),
        generation: flags.contains('g'),
        short_names: short
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        storage,
        ..Resource::default()
    }
}
