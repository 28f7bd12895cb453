//! What kube-rs sees: every verb, on the fake server, or on the real one where `KUBE_APISERVER` and `ETCD` name its programs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, which the lint doesn't take for tests"
)]

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, Preconditions, WatchEvent, WatchParams,
    },
    core::Status,
    runtime::watcher,
};
use larder_fake_kube::ApiServer;
use serde_json::{Value, json};

async fn server() -> (ApiServer, Client) {
    let server = ApiServer::start().await.unwrap();
    let client = server.client().unwrap();
    (server, client)
}

fn config_map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let data: BTreeMap<String, String> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
}

fn cosi(client: &Client, kind: &str, plural: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("objectstorage.k8s.io", "v1alpha1", kind),
        plural,
    );
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

fn object(json: Value) -> DynamicObject {
    serde_json::from_value(json).unwrap()
}

fn claim(name: &str) -> DynamicObject {
    object(
        json!({"apiVersion": "objectstorage.k8s.io/v1alpha1", "kind": "BucketClaim", "metadata": {"name": name}, "spec": {"bucketClassName": "c", "protocols": ["S3"]}}),
    )
}

fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("{other}"),
    }
}

fn code<T: std::fmt::Debug>(result: kube::Result<T>) -> u16 {
    refused(result).code
}

#[tokio::test]
async fn objects_are_made_read_changed_and_deleted() {
    let (_server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let made = api
        .create(&PostParams::default(), &config_map("one", &[("a", "1")]))
        .await
        .unwrap();
    assert!(
        made.metadata.uid.is_some()
            && made.metadata.creation_timestamp.is_some()
            && made.metadata.resource_version.is_some()
    );
    let again = refused(
        api.create(&PostParams::default(), &config_map("one", &[]))
            .await,
    );
    assert_eq!(
        (again.code, again.reason.as_str(), again.message.as_str()),
        (409, "AlreadyExists", "configmaps \"one\" already exists")
    );

    let mut changed = made.clone();
    changed.data = Some([("a".to_owned(), "2".to_owned())].into());
    let written = api
        .replace("one", &PostParams::default(), &changed)
        .await
        .unwrap();
    assert_ne!(
        written.metadata.resource_version,
        made.metadata.resource_version
    );
    changed.data = Some(BTreeMap::new());
    let stale = refused(api.replace("one", &PostParams::default(), &changed).await);
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    assert!(stale.message.contains("the object has been modified; please apply your changes to the latest version and try again"), "{}", stale.message);

    let other = Preconditions {
        uid: Some("00000000-0000-4000-8000-000000000000".to_owned()),
        resource_version: None,
    };
    assert_eq!(
        code(
            api.delete(
                "one",
                &DeleteParams {
                    preconditions: Some(other),
                    ..DeleteParams::default()
                }
            )
            .await
        ),
        409
    );
    let gone = api
        .delete("one", &DeleteParams::default())
        .await
        .unwrap()
        .right()
        .unwrap();
    assert_eq!(gone.details.unwrap().uid, made.metadata.uid.unwrap());
    let missing = refused(api.get("one").await);
    assert_eq!(
        (
            missing.code,
            missing.reason.as_str(),
            missing.message.as_str()
        ),
        (404, "NotFound", "configmaps \"one\" not found")
    );
    assert_eq!(code(api.delete("one", &DeleteParams::default()).await), 404);
}

#[tokio::test]
async fn writing_the_same_again_changes_no_version() {
    let (_server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let made = api
        .create(&PostParams::default(), &config_map("one", &[("a", "1")]))
        .await
        .unwrap();
    let same = api
        .replace("one", &PostParams::default(), &made)
        .await
        .unwrap();
    assert_eq!(
        same.metadata.resource_version,
        made.metadata.resource_version
    );
}

#[tokio::test]
async fn names_are_generated_and_checked() {
    let (_server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let mut nameless = config_map("x", &[]);
    nameless.metadata.name = None;
    assert_eq!(
        code(api.create(&PostParams::default(), &nameless).await),
        422
    );
    nameless.metadata.generate_name = Some("gen-".to_owned());
    let made = api.create(&PostParams::default(), &nameless).await.unwrap();
    assert!(made.metadata.name.unwrap().len() == "gen-".len() + 5);
    assert_eq!(
        code(
            api.create(&PostParams::default(), &config_map("Upper", &[]))
                .await
        ),
        422
    );
    let nowhere: Api<ConfigMap> = Api::namespaced(client, "nowhere");
    let missing = refused(
        nowhere
            .create(&PostParams::default(), &config_map("one", &[]))
            .await,
    );
    assert_eq!(
        (missing.code, missing.message.as_str()),
        (404, "namespaces \"nowhere\" not found")
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let (_server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    assert!(
        api.create(&dry, &config_map("one", &[]))
            .await
            .unwrap()
            .metadata
            .uid
            .is_some()
    );
    assert_eq!(code(api.get("one").await), 404);
    api.create(&PostParams::default(), &config_map("one", &[]))
        .await
        .unwrap();
    let _left = api
        .delete(
            "one",
            &DeleteParams {
                dry_run: true,
                ..DeleteParams::default()
            },
        )
        .await
        .unwrap();
    assert!(api.get("one").await.is_ok());
}

#[tokio::test]
async fn lists_are_selected_and_paged_as_they_were_at_their_first_page() {
    let (_server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    for number in 0..5 {
        let mut one = config_map(&format!("c{number}"), &[]);
        one.metadata.labels = Some(
            [
                ("parity".to_owned(), (number % 2).to_string()),
                ("suite".to_owned(), "pages".to_owned()),
            ]
            .into(),
        );
        api.create(&PostParams::default(), &one).await.unwrap();
    }
    let names = |list: &kube::core::ObjectList<ConfigMap>| {
        list.items
            .iter()
            .map(|one| one.metadata.name.clone().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(
            &api.list(&ListParams::default().labels("suite=pages,parity=1"))
                .await
                .unwrap()
        ),
        ["c1", "c3"]
    );
    assert_eq!(
        names(
            &api.list(&ListParams::default().fields("metadata.name=c2"))
                .await
                .unwrap()
        ),
        ["c2"]
    );
    assert_eq!(
        code(api.list(&ListParams::default().fields("data.x=1")).await),
        400
    );

    let page = ListParams::default().labels("suite=pages").limit(2);
    let first = api.list(&page).await.unwrap();
    api.delete("c3", &DeleteParams::default()).await.unwrap();
    let next = first.metadata.continue_.clone().unwrap();
    let second = api.list(&page.clone().continue_token(&next)).await.unwrap();
    let last = api
        .list(
            &page
                .clone()
                .continue_token(&second.metadata.continue_.clone().unwrap()),
        )
        .await
        .unwrap();
    assert_eq!(
        [names(&first), names(&second), names(&last)],
        [vec!["c0", "c1"], vec!["c2", "c3"], vec!["c4"]]
    );
    assert_eq!(last.metadata.continue_.unwrap_or_default(), "");
}

#[tokio::test]
async fn a_watch_goes_on_from_a_version() {
    let (_server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    api.create(&PostParams::default(), &config_map("before", &[]))
        .await
        .unwrap();
    let from = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let mut watch = api
        .watch(&WatchParams::default().labels("seen=yes"), &from)
        .await
        .unwrap()
        .boxed();
    api.create(&PostParams::default(), &config_map("unseen", &[]))
        .await
        .unwrap();
    let mut seen = config_map("seen", &[]);
    seen.metadata.labels = Some([("seen".to_owned(), "yes".to_owned())].into());
    api.create(&PostParams::default(), &seen).await.unwrap();
    api.patch(
        "seen",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"a": "1"}})),
    )
    .await
    .unwrap();
    // It leaves the selection, then it is deleted: that is one event.
    api.patch(
        "seen",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"labels": {"seen": null}}})),
    )
    .await
    .unwrap();
    api.delete("seen", &DeleteParams::default()).await.unwrap();
    api.create(
        &PostParams::default(),
        &ConfigMap {
            metadata: kube::api::ObjectMeta {
                name: Some("last".to_owned()),
                ..seen.metadata.clone()
            },
            ..seen
        },
    )
    .await
    .unwrap();
    let mut kinds = Vec::new();
    while kinds.len() < 4 {
        match watch.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(one) => kinds.push(format!("added {}", one.metadata.name.unwrap())),
            WatchEvent::Modified(one) => {
                kinds.push(format!("modified {}", one.metadata.name.unwrap()));
            }
            WatchEvent::Deleted(one) => {
                kinds.push(format!("deleted {}", one.metadata.name.unwrap()));
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => panic!("{status:?}"),
        }
    }
    assert_eq!(
        kinds,
        ["added seen", "modified seen", "deleted seen", "added last"]
    );
}

#[tokio::test]
async fn a_watch_of_a_forgotten_version_is_told_so() {
    let (server, client) = server().await;
    let Some(fake) = server.fake() else { return };
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let made = api
        .create(&PostParams::default(), &config_map("one", &[]))
        .await
        .unwrap();
    let mut watch = api
        .watch(
            &WatchParams::default(),
            made.metadata.resource_version.as_deref().unwrap(),
        )
        .await
        .unwrap()
        .boxed();
    fake.compact();
    let WatchEvent::Error(status) = watch.try_next().await.unwrap().unwrap() else {
        panic!("not told")
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    // That is told in the stream, with which kube-rs lists again; an answer of 410 it would take for a failure.
    let mut watch = api
        .watch(&WatchParams::default(), "1")
        .await
        .unwrap()
        .boxed();
    let WatchEvent::Error(status) = watch.try_next().await.unwrap().unwrap() else {
        panic!("not told")
    };
    assert_eq!(status.code, 410);
}

#[tokio::test]
async fn watchers_see_everything_however_they_begin_and_whatever_happens_to_them() {
    let (server, client) = server().await;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &config_map("first", &[]))
        .await
        .unwrap();
    let minor = client.apiserver_version().await.unwrap().minor;
    let mut configs = vec![watcher::Config::default()];
    // Since 1.34 by default.
    if minor.trim_end_matches('+').parse::<u32>().unwrap() >= 34 {
        configs.push(watcher::Config::default().streaming_lists());
    }
    for config in configs {
        let mut events = watcher(api.clone(), config).boxed();
        let mut names = Vec::new();
        loop {
            match events.try_next().await.unwrap().unwrap() {
                watcher::Event::InitApply(one) => names.extend(one.metadata.name),
                watcher::Event::InitDone => break,
                _ => {}
            }
        }
        assert!(names.contains(&"first".to_owned()), "{names:?}");
        if let Some(fake) = server.fake() {
            fake.disconnect_watches();
            fake.compact();
        }
        let name = format!("later{}", names.len());
        api.create(&PostParams::default(), &config_map(&name, &[]))
            .await
            .unwrap();
        let seen = async {
            // A cut watch may be told of as an error, and goes on.
            loop {
                if let Ok(Some(watcher::Event::Apply(one) | watcher::Event::InitApply(one))) =
                    events.try_next().await
                    && one.metadata.name.as_deref() == Some(&name)
                {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn status_is_written_by_itself_and_counts_no_generation() {
    let (_server, client) = server().await;
    let api = cosi(&client, "BucketClaim", "bucketclaims", Some("default"));
    let mut wanted = claim("one");
    wanted.data["status"] = json!({"bucketReady": true});
    let made = api.create(&PostParams::default(), &wanted).await.unwrap();
    assert_eq!(
        (made.metadata.generation, made.data.get("status")),
        (Some(1), None)
    );
    let status = Patch::Merge(
        json!({"status": {"bucketReady": true, "bucketName": "b"}, "spec": {"protocols": ["GCP"]}}),
    );
    let ready = api
        .patch_status("one", &PatchParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(
        (
            ready.metadata.generation,
            &ready.data["status"]["bucketName"],
            &ready.data["spec"]["protocols"]
        ),
        (Some(1), &json!("b"), &json!(["S3"]))
    );
    let main =
        Patch::Merge(json!({"status": {"bucketReady": false}, "spec": {"bucketClassName": "d"}}));
    let changed = api
        .patch("one", &PatchParams::default(), &main)
        .await
        .unwrap();
    assert_eq!(
        (
            changed.metadata.generation,
            &changed.data["status"]["bucketReady"],
            &changed.data["spec"]["bucketClassName"]
        ),
        (Some(2), &json!(true), &json!("d"))
    );
    let labelled = api
        .patch(
            "one",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}})),
        )
        .await
        .unwrap();
    assert_eq!(labelled.metadata.generation, Some(2));
    let invalid = refused(
        api.patch_status(
            "one",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"bucketReady": null}})),
        )
        .await,
    );
    assert_eq!((invalid.code, invalid.reason.as_str()), (422, "Invalid"));
}

#[tokio::test]
async fn custom_resources_are_held_to_their_schema() {
    let (_server, client) = server().await;
    let api = cosi(&client, "Bucket", "buckets", None);
    let bucket = |spec: Value| {
        object(
            json!({"apiVersion": "objectstorage.k8s.io/v1alpha1", "kind": "Bucket", "metadata": {"name": "b"}, "spec": spec}),
        )
    };
    let incomplete = refused(
        api.create(&PostParams::default(), &bucket(json!({"driverName": "d"})))
            .await,
    );
    assert_eq!(incomplete.code, 422);
    assert!(
        incomplete
            .message
            .contains("spec.protocols: Required value"),
        "{}",
        incomplete.message
    );
    let made = api.create(&PostParams::default(), &bucket(json!({"driverName": "d", "bucketClassName": "c", "bucketClaim": {}, "protocols": ["S3"], "odd": 1}))).await.unwrap();
    assert_eq!(
        (
            &made.data["spec"]["deletionPolicy"],
            made.data["spec"].get("odd")
        ),
        (&json!("Retain"), None)
    );
    let mut versionless = made.clone();
    versionless.metadata.resource_version = None;
    assert_eq!(
        code(api.replace("b", &PostParams::default(), &versionless).await),
        422
    );
    assert_eq!(
        code(
            api.patch("b", &PatchParams::default(), &Patch::Strategic(json!({})))
                .await
        ),
        415
    );
}

#[tokio::test]
async fn a_json_patch_is_all_or_nothing() {
    let (_server, client) = server().await;
    let api = cosi(&client, "BucketClaim", "bucketclaims", Some("default"));
    api.create(&PostParams::default(), &claim("one"))
        .await
        .unwrap();
    let patch = |operations: Value| Patch::<()>::Json(serde_json::from_value(operations).unwrap());
    let finalizers = patch(
        json!([{"op": "test", "path": "/metadata/finalizers", "value": null}, {"op": "add", "path": "/metadata/finalizers", "value": ["a.io/b"]}]),
    );
    assert_eq!(
        code(api.patch("one", &PatchParams::default(), &finalizers).await),
        422
    );
    let add = patch(json!([{"op": "add", "path": "/metadata/finalizers", "value": ["a.io/b"]}]));
    assert_eq!(
        api.patch("one", &PatchParams::default(), &add)
            .await
            .unwrap()
            .metadata
            .finalizers,
        Some(vec!["a.io/b".to_owned()])
    );
    let wrong = patch(
        json!([{"op": "test", "path": "/metadata/finalizers/0", "value": "c"}, {"op": "remove", "path": "/metadata/finalizers/0"}]),
    );
    assert_eq!(
        code(api.patch("one", &PatchParams::default(), &wrong).await),
        422
    );
    assert!(api.get("one").await.unwrap().metadata.finalizers.is_some());
}

#[tokio::test]
async fn finalizers_hold_what_is_deleted() {
    let (_server, client) = server().await;
    let api = cosi(&client, "BucketClaim", "bucketclaims", Some("default"));
    let mut held = claim("one");
    held.metadata.finalizers = Some(vec!["a.io/b".to_owned()]);
    api.create(&PostParams::default(), &held).await.unwrap();
    let left = api
        .delete("one", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(left.metadata.deletion_timestamp.is_some());
    let again = api
        .delete("one", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        again.metadata.deletion_timestamp,
        left.metadata.deletion_timestamp
    );
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["a.io/b", "a.io/c"]}}));
    assert_eq!(
        code(api.patch("one", &PatchParams::default(), &more).await),
        422
    );
    api.patch(
        "one",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await
    .unwrap();
    assert_eq!(code(api.get("one").await), 404);
}

#[tokio::test]
async fn what_is_applied_is_owned() {
    let (_server, client) = server().await;
    let api: Api<Secret> = Api::namespaced(client, "default");
    let config = |data: Value| {
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}),
        )
    };
    let made = api
        .patch(
            "s",
            &PatchParams::apply("one"),
            &config(json!({"a": "MQ==", "b": "MQ=="})),
        )
        .await
        .unwrap();
    let same = api
        .patch(
            "s",
            &PatchParams::apply("one"),
            &config(json!({"a": "MQ==", "b": "MQ=="})),
        )
        .await
        .unwrap();
    assert_eq!(
        same.metadata.resource_version,
        made.metadata.resource_version
    );
    let conflict = refused(
        api.patch(
            "s",
            &PatchParams::apply("two"),
            &config(json!({"a": "Mg=="})),
        )
        .await,
    );
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        conflict.message,
        "Apply failed with 1 conflict: conflict with \"one\": .data.a"
    );
    api.patch(
        "s",
        &PatchParams::apply("two").force(),
        &config(json!({"a": "Mg==", "c": "MQ=="})),
    )
    .await
    .unwrap();
    let nothing =
        Patch::Apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}));
    let less = api
        .patch("s", &PatchParams::apply("one"), &nothing)
        .await
        .unwrap();
    let keys: Vec<String> = less.data.unwrap().into_keys().collect();
    assert_eq!(keys, ["a", "c"]);
    let managers: Vec<String> = less
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .filter_map(|row| row.manager)
        .collect();
    assert_eq!(managers, ["two"]);
}

#[tokio::test]
async fn status_can_be_applied() {
    let (_server, client) = server().await;
    let api = cosi(&client, "BucketClaim", "bucketclaims", Some("default"));
    api.create(&PostParams::default(), &claim("one"))
        .await
        .unwrap();
    let status = |name: &str| {
        Patch::Apply(
            json!({"apiVersion": "objectstorage.k8s.io/v1alpha1", "kind": "BucketClaim", "status": {"bucketReady": true, "bucketName": name}}),
        )
    };
    let ready = api
        .patch_status("one", &PatchParams::apply("larder").force(), &status("b"))
        .await
        .unwrap();
    assert_eq!(
        ready.data["status"],
        json!({"bucketReady": true, "bucketName": "b"})
    );
    assert_eq!(ready.data["spec"]["protocols"], json!(["S3"]));
    let row = ready
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .find(|row| row.manager.as_deref() == Some("larder"))
        .unwrap();
    assert_eq!(
        (row.operation.as_deref(), row.subresource.as_deref()),
        (Some("Apply"), Some("status"))
    );
    let missing = api
        .patch_status("none", &PatchParams::apply("larder").force(), &status("b"))
        .await;
    assert_eq!(code(missing), 404);
}

#[tokio::test]
async fn a_protected_group_needs_an_approval() {
    let (_server, client) = server().await;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let definition = |group: &str| {
        object(
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{group}")}, "spec": {
            "group": group, "scope": "Cluster", "names": {"kind": "Thing", "plural": "things", "singular": "thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}),
        )
    };
    for (group, served) in [("example.com", true), ("example.k8s.io", false)] {
        // The real server refuses it at once, or leaves it without effect: either way nothing is served.
        let _made = api.create(&PostParams::default(), &definition(group)).await;
        let things: Api<DynamicObject> = Api::all_with(
            client.clone(),
            &ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk(group, "v1", "Thing"),
                "things",
            ),
        );
        let mut answer = things.list(&ListParams::default()).await;
        for _ in 0..200 {
            if answer.is_ok() == served {
                break;
            }
            answer = things.list(&ListParams::default()).await;
        }
        assert_eq!(answer.is_ok(), served, "{group}");
    }
}

#[tokio::test]
async fn a_service_account_has_tokens() {
    let (server, client) = server().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "app"}})).unwrap();
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let request = serde_json::from_value(
        json!({"spec": {"audiences": [], "expirationSeconds": 600}, "metadata": {}}),
    )
    .unwrap();
    let token = accounts
        .create_token_request("app", &PostParams::default(), &request)
        .await
        .unwrap()
        .status
        .unwrap()
        .token;
    let review = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}});
    let ask = async || -> Value {
        let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .unwrap();
        client.request(request).await.unwrap()
    };
    let who = ask().await;
    assert_eq!(
        who["status"]["user"]["username"],
        "system:serviceaccount:default:app"
    );
    let mut config = server.config();
    config.auth_info.token = token.map(Into::into);
    let theirs: Api<Namespace> = Api::all(Client::try_from(config).unwrap());
    accounts
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
    // The real server keeps in mind for a few seconds whose tokens are good.
    if server.fake().is_some() {
        assert_ne!(ask().await["status"]["authenticated"], true);
        assert_eq!(code(theirs.list(&ListParams::default()).await), 401);
    }
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner_and_namespaces_take_all_with_them() {
    let (server, client) = server().await;
    if !server.collects_garbage() {
        return;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(
            &PostParams::default(),
            &serde_json::from_value(json!({"metadata": {"name": "db"}})).unwrap(),
        )
        .await
        .unwrap();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "db");
    let owner = api
        .create(&PostParams::default(), &config_map("owner", &[]))
        .await
        .unwrap();
    let mut dependent = config_map("owned", &[]);
    dependent.metadata.owner_references = Some(vec![serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid})).unwrap()]);
    api.create(&PostParams::default(), &dependent)
        .await
        .unwrap();
    api.delete("owner", &DeleteParams::background())
        .await
        .unwrap();
    assert_eq!(code(api.get("owned").await), 404);

    let claims = cosi(&client, "BucketClaim", "bucketclaims", Some("db"));
    let mut held = claim("held");
    held.metadata.finalizers = Some(vec!["a.io/b".to_owned()]);
    claims.create(&PostParams::default(), &held).await.unwrap();
    api.create(&PostParams::default(), &config_map("free", &[]))
        .await
        .unwrap();
    assert!(
        namespaces
            .delete("db", &DeleteParams::default())
            .await
            .unwrap()
            .is_left()
    );
    assert_eq!(code(api.get("free").await), 404);
    assert!(
        claims
            .get("held")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    let refused = refused(
        api.create(&PostParams::default(), &config_map("late", &[]))
            .await,
    );
    assert_eq!(refused.code, 403);
    assert!(
        refused.message.contains(
            "unable to create new content in namespace db because it is being terminated"
        ),
        "{}",
        refused.message
    );
    claims
        .patch(
            "held",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"finalizers": null}})),
        )
        .await
        .unwrap();
    assert_eq!(code(namespaces.get("db").await), 404);
}
