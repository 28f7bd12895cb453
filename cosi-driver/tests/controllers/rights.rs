//! What the controllers ask of the API server is what the table says: nothing is forbidden, and nothing is there for nothing.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::{Api, api::ObjectMeta};
use larder_cosi::{
    controllers::{
        Mode,
        rbac::{Rule, Scope, rules},
    },
    kube::{Bucket, BucketAccess, BucketClaim},
};
use larder_fake_kube::FakeKube;
use serde_json::json;

use crate::world::{World, create, delete, merge, until};

const USER: &str = "system:serviceaccount:larder:cosi";

fn policy(rules: &[Rule], scope: Scope) -> Vec<PolicyRule> {
    let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    rules
        .iter()
        .filter(|rule| rule.scope == scope)
        .map(|rule| PolicyRule {
            api_groups: Some(vec![rule.group.to_owned()]),
            resources: Some(text(rule.resources)),
            verbs: text(rule.verbs),
            ..PolicyRule::default()
        })
        .collect()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn subjects() -> Vec<Subject> {
    vec![Subject {
        kind: "ServiceAccount".to_owned(),
        name: "cosi".to_owned(),
        namespace: Some("larder".to_owned()),
        ..Subject::default()
    }]
}

fn role_ref(kind: &str) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: kind.to_owned(),
        name: "cosi".to_owned(),
    }
}

async fn bind(world: &World, mode: Mode) {
    let rules = rules(mode);
    let role = ClusterRole {
        metadata: named("cosi"),
        rules: Some(policy(&rules, Scope::Cluster)),
        ..ClusterRole::default()
    };
    create(&world.all(), &role).await;
    let binding = ClusterRoleBinding {
        metadata: named("cosi"),
        role_ref: role_ref("ClusterRole"),
        subjects: Some(subjects()),
    };
    create(&world.all(), &binding).await;
    for (namespace, scope) in [("larder", Scope::Own), ("upstream", Scope::Upstream)] {
        let role = Role {
            metadata: named("cosi"),
            rules: Some(policy(&rules, scope)),
        };
        create(&Api::namespaced(world.client.clone(), namespace), &role).await;
        let binding = RoleBinding {
            metadata: named("cosi"),
            role_ref: role_ref("Role"),
            subjects: Some(subjects()),
        };
        create(&Api::namespaced(world.client.clone(), namespace), &binding).await;
    }
}

/// Group, resource and verb of all that was asked by the controllers, and what of it was denied.
fn asked(kube: &FakeKube) -> (BTreeSet<[String; 3]>, Vec<serde_json::Value>) {
    let asked = kube.asked();
    let ours: Vec<_> = asked
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["user"] == USER)
        .cloned()
        .collect();
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let all = ours
        .iter()
        .map(|row| [text(row, "group"), text(row, "resource"), text(row, "verb")])
        .collect();
    let denied = ours.into_iter().filter(|row| row["denied"] != 0).collect();
    (all, denied)
}

fn table(mode: Mode) -> BTreeSet<[String; 3]> {
    let mut all = BTreeSet::new();
    for rule in rules(mode) {
        for resource in rule.resources {
            for verb in rule.verbs {
                all.insert([rule.group, resource, verb].map(ToOwned::to_owned));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_forbidden_and_nothing_is_there_for_nothing() {
    let world = World::new(Mode::Auto).await;
    let Some(kube) = world.kube.fake() else {
        return;
    };
    bind(&world, Mode::Auto).await;
    kube.enforce_rbac(true);
    kube.forget_asked();
    let client = kube.client_as(USER).unwrap();
    let running = world.start_with(
        client,
        Arc::clone(&world.provisioner),
        world.settings.clone(),
    );
    story(&world).await;
    running.stop().await;
    let (asked, denied) = asked(kube);
    assert!(denied.is_empty(), "{denied:#?}");
    let table = table(Mode::Auto);
    // An event is patched where the same thing is said again after a minute: too long for a test.
    let again = ["events.k8s.io", "events", "patch"].map(ToOwned::to_owned);
    let unused: Vec<_> = table
        .difference(&asked)
        .filter(|it| **it != again)
        .collect();
    assert!(
        unused.is_empty(),
        "in the table and not asked for: {unused:#?}"
    );
    let beyond: Vec<_> = asked.difference(&table).collect();
    assert!(
        beyond.is_empty(),
        "asked for and not in the table: {beyond:#?}"
    );
}

/// All that a standalone driver does.
async fn story(world: &World) {
    world.claim("typo", "missing").await;
    world.told("typo", "ClassNotFound").await;
    world.claim("photos", "fast").await;
    world.access("app", "photos", "key").await;
    world.granted("app").await;
    let old = world.key("app").await;
    let asked = json!({ "metadata": { "annotations": { "cosi.larder.dev/rotate": "now" } } });
    merge(&world.here::<BucketAccess>(), "app", asked).await;
    until("there is a new key", || async {
        Some(world.key("app").await).filter(|key| *key != old)
    })
    .await;
    delete(&world.here::<BucketClaim>(), "photos").await;
    world.told("photos", "WaitingForAccesses").await;
    delete(&world.here::<BucketAccess>(), "app").await;
    world.gone(&world.here::<BucketClaim>(), "photos").await;
    let buckets: Api<Bucket> = world.all();
    until("no bucket is left", || async {
        let all = buckets
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        all.items.is_empty().then_some(())
    })
    .await;
}
