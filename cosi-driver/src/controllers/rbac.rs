//! What the controllers ask of the API server: all of it, and nothing else. The chart's rules are compared with this table, and tests against the API server with both.

use serde_json::{Value, json};

use crate::{controllers::Mode, kube::GROUP};

/// Verbs on resources of one API group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Empty: the core group.
    pub group: &'static str,
    /// Resources, with their subresources.
    pub resources: &'static [&'static str],
    /// What is done with each of them.
    pub verbs: &'static [&'static str],
    /// Where: in the whole cluster, or only in one namespace.
    pub scope: Scope,
}

/// Where something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In all namespaces.
    Cluster,
    /// In the driver's own.
    Own,
    /// In that of upstream's controller.
    Upstream,
}

const LOOK: &[&str] = &["get", "list", "watch"];

/// What `standalone` needs.
const STANDALONE: &[Rule] = &[
    cluster(GROUP, &["bucketclaims"], &["get", "list", "watch", "patch"]),
    cluster(GROUP, &["bucketaccesses"], &["list", "watch", "patch"]),
    cluster(
        GROUP,
        &["buckets"],
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    cluster(GROUP, &["bucketclasses", "bucketaccessclasses"], LOOK),
    cluster(
        GROUP,
        &[
            "bucketclaims/status",
            "buckets/status",
            "bucketaccesses/status",
        ],
        &["patch"],
    ),
    cluster("", &["secrets"], &["get", "create", "patch", "delete"]),
];

/// What `repair` needs: it makes no buckets, deletes none, and grants nothing.
const REPAIR: &[Rule] = &[
    cluster(GROUP, &["bucketclaims"], LOOK),
    cluster(GROUP, &["bucketaccesses"], &["list", "watch", "patch"]),
    cluster(GROUP, &["buckets"], &["get", "list", "watch", "patch"]),
    cluster(GROUP, &["bucketclasses", "bucketaccessclasses"], LOOK),
    cluster(GROUP, &["bucketclaims/status"], &["patch"]),
    cluster("", &["secrets"], &["get", "create", "patch", "delete"]),
];

/// What both need.
const BOTH: &[Rule] = &[
    cluster("events.k8s.io", &["events"], &["create", "patch"]),
    Rule {
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["get", "create", "update"],
        scope: Scope::Own,
    },
];

/// What telling one from the other needs.
const AUTO: &[Rule] = &[Rule {
    group: "coordination.k8s.io",
    resources: &["leases"],
    verbs: &["get"],
    scope: Scope::Upstream,
}];

const fn cluster(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Rule {
    Rule {
        group,
        resources,
        verbs,
        scope: Scope::Cluster,
    }
}

/// What a mode needs.
pub fn rules(mode: Mode) -> Vec<Rule> {
    let parts: &[&[Rule]] = match mode {
        Mode::Standalone => &[STANDALONE, BOTH],
        Mode::Repair => &[REPAIR, BOTH],
        // `standalone` has all that `repair` needs.
        Mode::Auto => &[STANDALONE, BOTH, AUTO],
        Mode::Off => &[],
    };
    parts.concat()
}

/// `docs/cosi-rbac.json`: rules by mode, as `Role`s and `ClusterRole`s have them, with where they hold.
pub fn document() -> Value {
    let of = |mode| rules(mode).iter().map(Rule::json).collect::<Value>();
    json!({
        "auto": of(Mode::Auto),
        "standalone": of(Mode::Standalone),
        "repair": of(Mode::Repair),
    })
}

impl Rule {
    fn json(&self) -> Value {
        let scope = match self.scope {
            Scope::Cluster => "cluster",
            Scope::Own => "own-namespace",
            Scope::Upstream => "upstream-namespace",
        };
        json!({ "scope": scope, "apiGroups": [self.group], "resources": self.resources, "verbs": self.verbs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_as_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cosi-rbac.json");
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("LARDER_REGENERATE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == text,
            "docs/cosi-rbac.json is not as the table says: LARDER_REGENERATE=1 writes it anew"
        );
    }

    #[test]
    fn whoever_may_run_auto_may_run_either() {
        let auto = rules(Mode::Auto);
        for rule in rules(Mode::Repair) {
            for (resource, verb) in pairs(&rule) {
                let has = |other: &Rule| {
                    other.group == rule.group && pairs(other).any(|it| it == (resource, verb))
                };
                assert!(auto.iter().any(has), "{verb} {resource}");
            }
        }
    }

    fn pairs(rule: &Rule) -> impl Iterator<Item = (&'static str, &'static str)> {
        let rule = *rule;
        rule.resources
            .iter()
            .flat_map(move |resource| rule.verbs.iter().map(move |verb| (*resource, *verb)))
    }
}
