//! Random operations on buckets with versions, compared with a list per object.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::objects::{testing::*, *};

const NAMES: [&str; 5] = ["a", "a/b", "a/c", "a\0", "b"];

type Name = &'static str;

#[derive(Clone, Debug)]
enum Operation {
    Put(Name, Vec<u8>),
    PutIfAbsent(Name, Vec<u8>),
    Upload(Name, Vec<u8>),
    Delete(Name),
    /// The n-th version of a name, or one that is not there.
    DeleteVersion(Name, usize),
    DeleteMany(Vec<(Name, Option<usize>)>),
    Tag(Name, Option<usize>, u8),
    Suspend(bool),
    List(&'static str, &'static str, usize),
    Sweep,
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..8), vec(any::<u8>(), 120..140)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || select(&NAMES[..]);
    let nth = || prop::option::of(0..4_usize);
    prop_oneof![
        8 => (name(), body()).prop_map(|(name, body)| Operation::Put(name, body)),
        2 => (name(), body()).prop_map(|(name, body)| Operation::PutIfAbsent(name, body)),
        2 => (name(), body()).prop_map(|(name, body)| Operation::Upload(name, body)),
        4 => name().prop_map(Operation::Delete),
        5 => (name(), 0..4_usize).prop_map(|(name, nth)| Operation::DeleteVersion(name, nth)),
        1 => vec((name(), nth()), 0..5).prop_map(Operation::DeleteMany),
        2 => (name(), nth(), any::<u8>()).prop_map(|(name, nth, tag)| Operation::Tag(name, nth, tag)),
        2 => any::<bool>().prop_map(Operation::Suspend),
        4 => (select(&["", "a", "a/", "b"][..]), select(&["", "/"][..]), 1..4_usize)
            .prop_map(|(prefix, delimiter, limit)| Operation::List(prefix, delimiter, limit)),
        1 => Just(Operation::Sweep),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Version {
    id: VersionId,
    /// `None`: a delete marker.
    body: Option<Vec<u8>>,
    tag: Option<u8>,
}

/// Versions of each object, the newest first.
#[derive(Debug, Default)]
struct Model {
    versioning: Versioning,
    objects: BTreeMap<Name, Vec<Version>>,
}

impl Model {
    fn latest(&self, name: &str) -> Option<&Version> {
        self.objects.get(name)?.first()
    }

    fn body(&self, name: &str) -> Option<&Vec<u8>> {
        self.latest(name)?.body.as_ref()
    }

    /// The n-th version's identifier, or one of a version that never was.
    fn nth(&self, name: &str, nth: usize) -> VersionId {
        let version = self.objects.get(name).and_then(|all| all.get(nth));
        version.map_or(VersionId::Number(7), |version| version.id)
    }

    /// What the store says of a new version must be what versioning asks for.
    fn push(&mut self, name: Name, said: Option<VersionId>, body: Option<Vec<u8>>) {
        let versions = self.objects.entry(name).or_default();
        let id = match self.versioning {
            Versioning::Off => {
                assert_eq!(said, None);
                VersionId::Null
            }
            Versioning::Suspended => {
                assert_eq!(said, Some(VersionId::Null));
                VersionId::Null
            }
            Versioning::Enabled => {
                let id = said.unwrap();
                assert!(versions.iter().all(|version| version.id != id) && id != VersionId::Null);
                id
            }
        };
        versions.retain(|version| version.id != id);
        let tag = None;
        versions.insert(0, Version { id, body, tag });
    }

    fn remove(&mut self, name: &str, id: VersionId) -> Option<Version> {
        let versions = self.objects.get_mut(name)?;
        let at = versions.iter().position(|version| version.id == id)?;
        let removed = versions.remove(at);
        self.objects.retain(|_, versions| !versions.is_empty());
        Some(removed)
    }

    fn delete(&mut self, name: Name, deleted: Deleted) {
        if self.versioning == Versioning::Off {
            let there = self.remove(name, VersionId::Null).is_some();
            assert_eq!((deleted.changed, deleted.version), (there, None));
        } else {
            assert!(deleted.changed && deleted.is_delete_marker);
            self.push(name, deleted.version, None);
        }
    }

    fn delete_version(&mut self, name: Name, id: VersionId, deleted: Deleted) {
        let removed = self.remove(name, id);
        assert_eq!(deleted.changed, removed.is_some());
        let was_marker = removed.is_some_and(|version| version.body.is_none());
        assert_eq!(deleted.is_delete_marker, was_marker);
        let said = (self.versioning != Versioning::Off).then_some(id);
        assert_eq!(deleted.version, said);
    }
}

async fn apply(fixture: &Fixture, model: &mut Model, operation: Operation) {
    let store = &fixture.store;
    let bucket = bucket("bucket");
    match operation {
        Operation::Put(name, body) => {
            let written = fixture.put(name, &body).await.unwrap();
            model.push(name, written.version, Some(body));
        }
        Operation::PutIfAbsent(name, body) => {
            let conditions = WriteConditions {
                if_none_match_any: true,
                ..Default::default()
            };
            let written = fixture.put_if(name, &body, conditions).await;
            assert_eq!(written.is_ok(), model.body(name).is_none());
            if let Ok(written) = written {
                model.push(name, written.version, Some(body));
            }
        }
        Operation::Upload(name, body) => {
            let written = fixture.upload_whole(name, &body).await.unwrap();
            model.push(name, written.version, Some(body));
        }
        Operation::Delete(name) => {
            let none = WriteConditions::default();
            let deleted = store.delete_object(&bucket, &key(name), none).await;
            model.delete(name, deleted.unwrap());
        }
        Operation::DeleteVersion(name, nth) => {
            let (id, none) = (model.nth(name, nth), WriteConditions::default());
            let key = key(name);
            let deleted = store
                .delete_version(&bucket, &key, Some(id), none, Governance::Heeded)
                .await;
            model.delete_version(name, id, deleted.unwrap());
        }
        Operation::DeleteMany(wanted) => delete_many(fixture, model, wanted).await,
        Operation::Tag(name, nth, tag) => {
            let id = nth.map(|nth| model.nth(name, nth));
            let tags = Tags(vec![("tag".into(), tag.to_string())]);
            let set = store.set_version_tags(&bucket, &key(name), id, tags).await;
            let versions = model.objects.get_mut(name);
            let mut versions = versions.into_iter().flatten();
            let version = match id {
                None => versions.next(),
                Some(id) => versions.find(|version| version.id == id),
            };
            let version = version.filter(|version| version.body.is_some());
            assert_eq!(set.is_ok(), version.is_some(), "{set:?}");
            if let Some(version) = version {
                version.tag = Some(tag);
            }
        }
        Operation::Suspend(suspend) => {
            model.versioning = if suspend {
                Versioning::Suspended
            } else {
                Versioning::Enabled
            };
            store
                .set_versioning(&bucket, model.versioning)
                .await
                .unwrap();
        }
        Operation::List(prefix, delimiter, limit) => {
            list_versions(fixture, model, (prefix, delimiter), limit).await;
            list_objects(fixture, model, prefix, limit).await;
        }
        Operation::Sweep => drop(store.sweep_once(1000).await.unwrap()),
    }
}

async fn delete_many(fixture: &Fixture, model: &mut Model, wanted: Vec<(Name, Option<usize>)>) {
    let mut seen = BTreeSet::new();
    // In which order the same object's come is nobody's promise.
    let wanted = wanted.into_iter().filter(|(name, _)| seen.insert(*name));
    let items: Vec<_> = wanted
        .map(|(name, nth)| (name, nth.map(|nth| model.nth(name, nth))))
        .collect();
    let item = |(name, version): &(Name, Option<VersionId>)| DeleteItem {
        version: *version,
        key: key(name),
        if_match: None,
    };
    let all = items.iter().map(item).collect();
    let deleted = fixture
        .store
        .delete_objects(&bucket("bucket"), all, Governance::Heeded)
        .await;
    for ((name, id), deleted) in items.into_iter().zip(deleted.unwrap()) {
        match id {
            Some(id) => model.delete_version(name, id, deleted.unwrap()),
            None => model.delete(name, deleted.unwrap()),
        }
    }
}

/// All pages of the versions, compared with the model.
async fn list_versions(
    fixture: &Fixture,
    model: &Model,
    (prefix, delimiter): (&str, &str),
    limit: usize,
) {
    let mut expected = Vec::new();
    for (name, versions) in model.objects.iter().filter(|(n, _)| n.starts_with(prefix)) {
        let rest = &name[prefix.len()..];
        if !delimiter.is_empty()
            && let Some(at) = rest.find(delimiter)
        {
            let common = format!("{prefix}{}", &rest[..=at]);
            if expected.last() != Some(&(common.clone(), None)) {
                expected.push((common, None));
            }
            continue;
        }
        for (at, version) in versions.iter().enumerate() {
            let what = (version.id, at == 0, version.body.is_none());
            expected.push(((*name).to_owned(), Some(what)));
        }
    }
    let mut found = Vec::new();
    let mut next = Some((String::new(), None));
    while let Some((after, after_version)) = next {
        let request = ListVersions {
            bucket: bucket("bucket"),
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            after,
            after_version,
            limit,
        };
        let page = fixture.store.list_versions(request).await.unwrap();
        assert!(
            page.entries.len() <= limit && (page.next.is_none() || page.entries.len() == limit)
        );
        found.extend(page.entries.into_iter().map(|entry| match entry {
            VersionEntry::CommonPrefix(prefix) => (prefix, None),
            VersionEntry::Version(version) => (
                version.object.key.as_str().to_owned(),
                Some((version.id, version.is_latest, version.is_delete_marker)),
            ),
        }));
        next = page.next;
    }
    assert_eq!(found, expected);
}

async fn list_objects(fixture: &Fixture, model: &Model, prefix: &str, limit: usize) {
    let names = model.objects.keys().copied();
    let names = names.filter(|name| name.starts_with(prefix));
    let expected: Vec<_> = names.filter(|name| model.body(name).is_some()).collect();
    let (mut found, mut after) = (Vec::new(), Some(String::new()));
    while let Some(from) = after {
        let request = ListObjects {
            bucket: bucket("bucket"),
            prefix: prefix.into(),
            delimiter: String::new(),
            after: from,
            limit,
        };
        let page = fixture.store.list_objects(request).await.unwrap();
        assert!(page.next.is_none() || page.entries.len() == limit);
        found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
        after = page.next;
    }
    assert_eq!(found, expected);
}

async fn read(handle: Result<ObjectHandle, StoreError>) -> Result<(Vec<u8>, Tags), StoreError> {
    let handle = handle?;
    let tags = handle.info().tags.clone();
    Ok((
        read_all(handle.read(0..handle.info().size).await?).await?,
        tags,
    ))
}

async fn compare(fixture: &Fixture, model: &Model) {
    let (store, bucket) = (&fixture.store, bucket("bucket"));
    let mut usage = Tally::default();
    for version in model.objects.values().flatten() {
        match &version.body {
            Some(body) => {
                usage.objects += 1;
                usage.bytes += body.len() as u64;
            }
            None => usage.delete_markers += 1,
        }
    }
    assert_eq!(store.usage(&bucket).await.unwrap(), usage);
    let tags = |tag: Option<u8>| {
        Tags(
            tag.map(|tag| ("tag".into(), tag.to_string()))
                .into_iter()
                .collect(),
        )
    };
    for name in NAMES {
        let latest = read(store.object(&bucket, &key(name)).await).await;
        match model.latest(name) {
            None => assert!(matches!(latest, Err(StoreError::NoSuchKey)), "{latest:?}"),
            Some(Version { id, body: None, .. }) => assert!(
                matches!(latest, Err(StoreError::DeleteMarker { version, is_named: false, .. }) if version == *id),
                "{latest:?}"
            ),
            Some(version) => {
                assert_eq!(
                    latest.unwrap(),
                    (version.body.clone().unwrap(), tags(version.tag))
                );
            }
        }
        for version in model.objects.get(name).into_iter().flatten() {
            let found = store
                .object_version(&bucket, &key(name), Some(version.id))
                .await;
            match (&version.body, read(found).await) {
                (Some(body), found) => {
                    assert_eq!(found.unwrap(), (body.clone(), tags(version.tag)));
                }
                (None, Err(StoreError::DeleteMarker { is_named: true, .. })) => {}
                (None, found) => panic!("{found:?}"),
            }
        }
        let none = store
            .object_version(&bucket, &key(name), Some(VersionId::Number(7)))
            .await;
        assert!(matches!(none, Err(StoreError::NoSuchVersion)), "{none:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_bucket_with_versions_is_what_its_model_is(before in vec(operation(), 0..8), operations in vec(operation(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::with_bucket().await;
            let mut model = Model::default();
            for operation in before.into_iter().filter(|operation| !matches!(operation, Operation::Suspend(_))) {
                apply(&fixture, &mut model, operation).await;
            }
            apply(&fixture, &mut model, Operation::Suspend(false)).await;
            for operation in operations {
                apply(&fixture, &mut model, operation).await;
                compare(&fixture, &model).await;
            }
            list_versions(&fixture, &model, ("", ""), 3).await;
            // Nothing leaks, and a bucket is empty only without any version.
            fixture.sweep().await;
            let bodies = model.objects.values().flatten().filter_map(|version| version.body.as_ref());
            assert_eq!(extents(&fixture.pool), bodies.filter(|body| body.len() > INLINE_MAX).count());
            let removed = fixture.store.delete_bucket(&bucket("bucket")).await;
            assert_eq!(removed.is_ok(), model.objects.is_empty());
        });
    }
}

#[tokio::test]
async fn versioning_is_suspended_and_not_taken_back() {
    let fixture = Fixture::with_bucket().await;
    let set = |versioning| {
        let store = fixture.store.clone();
        async move { store.set_versioning(&bucket("bucket"), versioning).await }
    };
    set(Versioning::Off).await.unwrap();
    set(Versioning::Enabled).await.unwrap();
    set(Versioning::Suspended).await.unwrap();
    assert!(matches!(
        set(Versioning::Off).await,
        Err(StoreError::InvalidVersioning)
    ));
    let found = fixture.store.bucket(&bucket("bucket")).await.unwrap();
    assert_eq!(found.versioning, Versioning::Suspended);
}

#[tokio::test]
async fn further_versions_cost_what_the_first_ones_did() {
    let fixture = Fixture::with_bucket().await;
    fixture
        .store
        .set_versioning(&bucket("bucket"), Versioning::Enabled)
        .await
        .unwrap();
    for i in 0..300 {
        fixture
            .put("a", &[u8::try_from(i % 256).unwrap()])
            .await
            .unwrap();
    }
    // Two records a version at most are looked at or written, whatever there is.
    assert_eq!(fixture.count(b'v').await, 300);
    assert_eq!(fixture.count(b'o').await, 1);
    assert_eq!(fixture.count(b'g').await, 0);
}

#[tokio::test]
async fn writers_of_one_object_all_leave_a_version() {
    let fixture = Fixture::with_bucket().await;
    fixture.put("a", b"before").await.unwrap();
    fixture
        .store
        .set_versioning(&bucket("bucket"), Versioning::Enabled)
        .await
        .unwrap();
    let puts = (0..20_u8).map(|i| {
        let fixture = &fixture;
        async move { fixture.put("a", &[i]).await.unwrap() }
    });
    let written = futures_util::future::join_all(puts).await;
    let ids: BTreeSet<_> = written.iter().map(|written| written.version).collect();
    assert_eq!(ids.len(), 20);
    let request = ListVersions {
        bucket: bucket("bucket"),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        after_version: None,
        limit: 1000,
    };
    let page = fixture.store.list_versions(request).await.unwrap();
    assert_eq!(page.entries.len(), 21);
}
