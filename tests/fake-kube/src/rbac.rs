//! Who may do what: roles and bindings as they are stored, and a record of everything that was asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    failure::Failure,
    json::{list, text, texts},
    resources::Resource,
    state::State,
};

/// So many different questions are remembered.
const REMEMBERED: usize = 10_000;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    /// Whoever shows no credentials: this server is for tests, on the loopback interface.
    pub(crate) fn admin() -> Self {
        Self {
            name: "kubernetes-admin".to_owned(),
            groups: vec![
                "system:masters".to_owned(),
                "system:authenticated".to_owned(),
            ],
        }
    }

    pub(crate) fn service_account(namespace: &str, name: &str) -> Self {
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups,
        }
    }

    /// An impersonated user; service accounts get their groups.
    pub(crate) fn impersonated(name: &str, groups: Vec<String>) -> Self {
        if let Some((namespace, account)) = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'))
            && groups.is_empty()
        {
            return Self::service_account(namespace, account);
        }
        let mut groups = groups;
        groups.push("system:authenticated".to_owned());
        Self {
            name: name.to_owned(),
            groups,
        }
    }

    fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }
}

/// What somebody wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// With its subresource: `buckets/status`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What was asked, and how often it was allowed and denied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    asked: BTreeMap<(String, Attributes), Counts>,
}

impl Record {
    fn note(&mut self, user: &User, what: &Attributes, allowed: bool) {
        let any_name = Attributes {
            name: String::new(),
            ..what.clone()
        };
        let key = (user.name.clone(), any_name);
        if self.asked.len() >= REMEMBERED && !self.asked.contains_key(&key) {
            return;
        }
        let counts = self.asked.entry(key).or_default();
        counts.allowed += u64::from(allowed);
        counts.denied += u64::from(!allowed);
    }

    pub(crate) fn clear(&mut self) {
        self.asked.clear();
    }

    pub(crate) fn to_json(&self) -> Value {
        let row = |((user, what), counts): (&(String, Attributes), &Counts)| {
            json!({
                "user": user, "verb": what.verb, "group": what.group, "resource": what.resource, "namespace": what.namespace,
                "allowed": counts.allowed, "denied": counts.denied,
            })
        };
        Value::Array(self.asked.iter().map(row).collect())
    }
}

/// How often something was allowed and denied.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    allowed: u64,
    denied: u64,
}

/// Checks whether a user may do something, where that is switched on, and records that it was asked.
pub(crate) fn authorize(
    state: &State,
    record: &mut Record,
    enforced: bool,
    user: &User,
    what: &Attributes,
    resource: &Resource,
) -> Result<(), Failure> {
    let allowed = !enforced || allows(state, user, what);
    record.note(user, what, allowed);
    if allowed {
        return Ok(());
    }
    let scope = if what.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", what.namespace)
    };
    let why = format!(
        "User {:?} cannot {} resource {:?} in API group {:?} {scope}",
        user.name, what.verb, what.resource, what.group
    );
    Err(Failure::forbidden(resource, &what.name, &why))
}

/// Whether roles that are bound to a user allow something.
pub(crate) fn allows(state: &State, user: &User, what: &Attributes) -> bool {
    if user.is_master() {
        return true;
    }
    let cluster = state
        .objects("clusterrolebindings.rbac.authorization.k8s.io")
        .map(|(_, binding)| binding);
    if cluster
        .filter(|binding| binds(binding, user, ""))
        .any(|binding| role_allows(state, binding, "", what))
    {
        return true;
    }
    let local = state
        .objects("rolebindings.rbac.authorization.k8s.io")
        .filter(|(key, _)| !what.namespace.is_empty() && key.0 == what.namespace);
    local
        .filter(|(key, binding)| binds(binding, user, &key.0))
        .any(|(key, binding)| role_allows(state, binding, &key.0, what))
}

fn binds(binding: &Value, user: &User, namespace: &str) -> bool {
    list(binding, "/subjects").iter().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == user.name,
            "Group" => user.groups.iter().any(|group| group == name),
            "ServiceAccount" => {
                let home = Some(text(subject, "/namespace"))
                    .filter(|home| !home.is_empty())
                    .unwrap_or(namespace);
                user.name == format!("system:serviceaccount:{home}:{name}")
            }
            _ => false,
        }
    })
}

fn role_allows(state: &State, binding: &Value, namespace: &str, what: &Attributes) -> bool {
    let name = text(binding, "/roleRef/name").to_owned();
    let (storage, key) = if text(binding, "/roleRef/kind") == "ClusterRole" {
        (
            "clusterroles.rbac.authorization.k8s.io",
            (String::new(), name),
        )
    } else {
        (
            "roles.rbac.authorization.k8s.io",
            (namespace.to_owned(), name),
        )
    };
    let role = state
        .objects(storage)
        .find(|(at, _)| **at == key)
        .map(|(_, role)| role);
    role.is_some_and(|role| {
        list(role, "/rules")
            .iter()
            .any(|rule| rule_allows(rule, what))
    })
}

fn rule_allows(rule: &Value, what: &Attributes) -> bool {
    let has = |field: &str, wanted: &str| {
        texts(rule, field)
            .iter()
            .any(|one| *one == "*" || *one == wanted)
    };
    let names = texts(rule, "/resourceNames");
    let subresource = what
        .resource
        .split_once('/')
        .map(|(_, sub)| format!("*/{sub}"));
    let resource = has("/resources", &what.resource)
        || subresource.is_some_and(|any| texts(rule, "/resources").contains(&any.as_str()));
    has("/verbs", &what.verb)
        && has("/apiGroups", &what.group)
        && resource
        && (names.is_empty() || (!what.name.is_empty() && names.contains(&what.name.as_str())))
}
