//! Random operations on a store and on maps, compared after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::objects::{testing::*, *};

const NAMES: [&str; 9] = [
    "a", "a/", "a//b", "a/b", "a/c/d", "a0", "b", "ä/\u{1}", "a/b/c",
];
const PREFIXES: [&str; 6] = ["", "a", "a/", "a/b", "ä", "zz"];
const DELIMITERS: [&str; 5] = ["", "/", "//", "b", "/c/"];

type Name = &'static str;

#[derive(Clone, Debug)]
enum Operation {
    Put(Name, Vec<u8>),
    PutIfAbsent(Name, Vec<u8>),
    /// Puts if the object's body is that of the second name's.
    PutIfMatch(Name, Name, Vec<u8>),
    Copy(Name, Name),
    Delete(Name),
    DeleteMany(Vec<Name>),
    SetTags(Name, u8),
    /// The list, if the one that it had was seen.
    SetAcl(Name, u8, bool),
    List {
        prefix: Name,
        delimiter: Name,
        after: String,
        limit: usize,
    },
    Start(Name),
    /// Of the n-th upload in progress.
    Part(usize, u32, Vec<u8>),
    Complete(usize, BTreeSet<u32>),
    Abort(usize),
    Sweep,
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..8), vec(any::<u8>(), 120..140)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || select(&NAMES[..]);
    let after = prop_oneof![
        3 => Just(String::new()),
        3 => name().prop_map(String::from),
        1 => "[ab/]{1,4}",
    ];
    prop_oneof![
        6 => (name(), body()).prop_map(|(name, body)| Operation::Put(name, body)),
        2 => (name(), body()).prop_map(|(name, body)| Operation::PutIfAbsent(name, body)),
        2 => (name(), name(), body()).prop_map(|(name, other, body)| Operation::PutIfMatch(name, other, body)),
        2 => (name(), name()).prop_map(|(from, to)| Operation::Copy(from, to)),
        2 => name().prop_map(Operation::Delete),
        1 => vec(name(), 0..6).prop_map(Operation::DeleteMany),
        1 => (name(), any::<u8>()).prop_map(|(name, tag)| Operation::SetTags(name, tag)),
        2 => (name(), any::<u8>(), any::<bool>()).prop_map(|(name, list, seen)| Operation::SetAcl(name, list, seen)),
        6 => (select(&PREFIXES[..]), select(&DELIMITERS[..]), after, 0..6_usize)
            .prop_map(|(prefix, delimiter, after, limit)| Operation::List { prefix, delimiter, after, limit }),
        2 => name().prop_map(Operation::Start),
        6 => (0..3_usize, 1..5_u32, body()).prop_map(|(upload, number, body)| Operation::Part(upload, number, body)),
        2 => (0..3_usize, prop::collection::btree_set(1..5_u32, 1..4)).prop_map(|(upload, parts)| Operation::Complete(upload, parts)),
        1 => (0..3_usize).prop_map(Operation::Abort),
        2 => Just(Operation::Sweep),
    ]
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Object {
    body: Vec<u8>,
    etag: Option<ETag>,
    tags: Tags,
    acl: ObjectAcl,
}

#[derive(Debug)]
struct Upload {
    id: UploadId,
    name: Name,
    parts: BTreeMap<u32, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Model {
    objects: BTreeMap<String, Object>,
    uploads: Vec<Upload>,
}

impl Model {
    fn put(&mut self, name: Name, body: &[u8]) {
        let object = Object {
            body: body.to_vec(),
            etag: Some(etag(body)),
            ..Object::default()
        };
        self.objects.insert(name.to_owned(), object);
    }

    fn upload(&mut self, index: usize) -> Option<&mut Upload> {
        let count = self.uploads.len();
        (count > 0).then(|| &mut self.uploads[index % count])
    }

    /// Listing as it is defined, without any cleverness.
    fn list(
        &self,
        prefix: &str,
        delimiter: &str,
        after: &str,
        limit: usize,
    ) -> (Vec<String>, Option<String>) {
        let roll_up = |name: &str| {
            let rest = name.strip_prefix(prefix)?;
            let end = (!delimiter.is_empty())
                .then(|| rest.find(delimiter))
                .flatten()?;
            Some(name[..prefix.len() + end + delimiter.len()].to_owned())
        };
        let skipped = roll_up(after);
        let names: BTreeSet<String> = self
            .objects
            .keys()
            .filter(|name| name.starts_with(prefix) && name.as_str() > after)
            .map(|name| roll_up(name).unwrap_or_else(|| name.clone()))
            .filter(|name| Some(name) != skipped.as_ref())
            .collect();
        let is_more = names.len() > limit;
        let page: Vec<_> = names.into_iter().take(limit).collect();
        let next = page.last().filter(|_| is_more).cloned();
        (page, next)
    }
}

async fn apply(fixture: &Fixture, model: &mut Model, operation: Operation) {
    match operation {
        Operation::Put(name, body) => {
            fixture.put(name, &body).await.unwrap();
            model.put(name, &body);
        }
        Operation::PutIfAbsent(name, body) => {
            let conditions = WriteConditions {
                if_none_match_any: true,
                ..Default::default()
            };
            let result = fixture.put_if(name, &body, conditions).await;
            assert_eq!(result.is_ok(), !model.objects.contains_key(name));
            if result.is_ok() {
                model.put(name, &body);
            }
        }
        Operation::PutIfMatch(name, other, body) => {
            put_if_match(fixture, model, name, other, &body).await;
        }
        Operation::Copy(from, to) => {
            let read = fixture.get(from).await;
            assert_eq!(read.is_ok(), model.objects.contains_key(from));
            if let Ok(body) = read {
                fixture.put(to, &body).await.unwrap();
                model.put(to, &body);
            }
        }
        Operation::Delete(name) => {
            let existed = fixture.delete(name).await.unwrap();
            assert_eq!(existed, model.objects.remove(name).is_some());
        }
        Operation::DeleteMany(names) => {
            let items = names
                .iter()
                .map(|name| DeleteItem {
                    version: None,
                    key: key(name),
                    if_match: None,
                })
                .collect();
            let results = fixture
                .store
                .delete_objects(&bucket("bucket"), items, Governance::Heeded)
                .await
                .unwrap();
            assert!(results.len() == names.len() && results.iter().all(Result::is_ok));
            for name in names {
                model.objects.remove(name);
            }
        }
        Operation::SetTags(name, tag) => {
            let tags = Tags(vec![("tag".into(), tag.to_string())]);
            let result = fixture
                .store
                .set_tags(&bucket("bucket"), &key(name), tags.clone())
                .await;
            assert_eq!(result.is_ok(), model.objects.contains_key(name));
            model
                .objects
                .entry(name.to_owned())
                .and_modify(|object| object.tags = tags);
        }
        Operation::List {
            prefix,
            delimiter,
            after,
            limit,
        } => {
            let request = ListObjects {
                bucket: bucket("bucket"),
                prefix: prefix.into(),
                delimiter: delimiter.into(),
                after: after.clone(),
                limit,
            };
            let Listing { entries, next } = fixture.store.list_objects(request).await.unwrap();
            let names: Vec<_> = entries
                .iter()
                .map(|entry| entry.name().to_owned())
                .collect();
            assert_eq!((names, next), model.list(prefix, delimiter, &after, limit));
        }
        Operation::SetAcl(name, list, seen) => set_acl(fixture, model, name, list, seen).await,
        Operation::Sweep => drop(fixture.sweep().await),
        upload => apply_to_upload(fixture, model, upload).await,
    }
}

async fn set_acl(fixture: &Fixture, model: &mut Model, name: Name, list: u8, has_seen: bool) {
    let object = model.objects.get_mut(name);
    let now = object.as_ref().map(|object| object.acl.clone());
    let mut seen = now.unwrap_or_default();
    if !has_seen {
        seen.owner = Some(ObjectOwner::Anonymous);
    }
    let list = Some(vec![list]);
    let set = SetAcl {
        seen,
        list: list.clone(),
    };
    let result = fixture
        .store
        .set_acl(&bucket("bucket"), &key(name), None, set)
        .await;
    assert_eq!(result.is_ok(), object.is_some() && has_seen);
    if let Some(object) = object.filter(|_| has_seen) {
        object.acl.list = list;
    }
}

async fn put_if_match(fixture: &Fixture, model: &mut Model, name: Name, other: Name, body: &[u8]) {
    let wanted = model.objects.get(other).and_then(|object| object.etag);
    let Some(wanted) = wanted else { return };
    let conditions = WriteConditions {
        if_match: Some(wanted.into()),
        ..Default::default()
    };
    let result = fixture.put_if(name, body, conditions).await;
    match model.objects.get(name).and_then(|object| object.etag) {
        None => assert!(matches!(result, Err(StoreError::NoSuchKey))),
        Some(is) if is == wanted => {
            result.unwrap();
            model.put(name, body);
        }
        Some(_) => assert!(matches!(result, Err(StoreError::PreconditionFailed { .. }))),
    }
}

async fn apply_to_upload(fixture: &Fixture, model: &mut Model, operation: Operation) {
    match operation {
        Operation::Start(name) if model.uploads.len() < 3 => {
            let id = fixture.start(name).await;
            model.uploads.push(Upload {
                id,
                name,
                parts: BTreeMap::new(),
            });
        }
        Operation::Part(index, number, body) => {
            if let Some(upload) = model.upload(index) {
                fixture
                    .part(upload.name, upload.id, number, &body)
                    .await
                    .unwrap();
                upload.parts.insert(number, body);
            }
        }
        Operation::Complete(index, numbers) => complete(fixture, model, index, &numbers).await,
        Operation::Abort(index) => {
            if let Some(upload) = model.upload(index) {
                let (id, name) = (upload.id, upload.name);
                fixture
                    .store
                    .abort_upload(&bucket("bucket"), &key(name), &id)
                    .await
                    .unwrap();
                model.uploads.retain(|upload| upload.id != id);
            }
        }
        _ => {}
    }
}

async fn complete(fixture: &Fixture, model: &mut Model, index: usize, numbers: &BTreeSet<u32>) {
    let Some(upload) = model.upload(index) else {
        return;
    };
    let (id, name) = (upload.id, upload.name);
    let parts: Vec<_> = numbers
        .iter()
        .map(|number| {
            (
                *number,
                upload.parts.get(number).map_or(&[][..], Vec::as_slice),
            )
        })
        .collect();
    let has_all = numbers
        .iter()
        .all(|number| upload.parts.contains_key(number));
    let is_small = |(_, body): &(u32, &[u8])| (body.len() as u64) < MIN_PART;
    let is_valid = has_all && !parts[..parts.len() - 1].iter().any(is_small);
    let result = fixture.complete(name, id, &parts).await;
    assert_eq!(result.is_ok(), is_valid, "{result:?}");
    if let Ok(written) = result {
        let body = parts.iter().flat_map(|(_, body)| body.to_vec()).collect();
        let object = Object {
            body,
            etag: Some(written.etag),
            ..Object::default()
        };
        model.objects.insert(name.to_owned(), object);
        model.uploads.retain(|upload| upload.id != id);
    }
}

/// All that the store shows is what the model has.
async fn compare(fixture: &Fixture, model: &Model) {
    let sizes = model.objects.values().map(|object| object.body.len());
    let usage = Tally {
        objects: model.objects.len() as u64,
        bytes: sizes.sum::<usize>() as u64,
        delete_markers: 0,
    };
    assert_eq!(fixture.store.usage(&bucket("bucket")).await.unwrap(), usage);
    for name in NAMES {
        let found = match fixture.handle(name).await {
            Ok(handle) => {
                let info = handle.info().clone();
                let body = read_all(handle.read(0..info.size).await.unwrap())
                    .await
                    .unwrap();
                Some(Object {
                    body,
                    etag: Some(info.etag),
                    tags: info.tags,
                    acl: info.acl,
                })
            }
            Err(StoreError::NoSuchKey) => None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found.as_ref(), model.objects.get(name), "{name}");
    }
}

/// After sweeping there is nothing that neither an object nor an upload refers to.
async fn nothing_leaks(fixture: &Fixture, model: &Model) {
    fixture.sweep().await;
    assert_eq!(fixture.count(b'g').await, 0);
    assert_eq!(fixture.count(b'o').await, model.objects.len());
    assert_eq!(fixture.count(b'u').await, model.uploads.len());
    let handles =
        futures_util::future::join_all(model.objects.keys().map(|name| fixture.handle(name))).await;
    let infos: Vec<_> = handles
        .into_iter()
        .map(|handle| handle.unwrap().info().clone())
        .collect();
    let of_objects: usize = infos.iter().map(|info| info.parts.len()).sum();
    let of_uploads: usize = model.uploads.iter().map(|upload| upload.parts.len()).sum();
    assert_eq!(fixture.count(b'p').await, of_objects + of_uploads);
    let is_extent = |size: u64| size > INLINE_MAX as u64;
    let whole = infos
        .iter()
        .filter(|info| info.parts.is_empty() && is_extent(info.size))
        .count();
    let parts = infos
        .iter()
        .flat_map(|info| &info.parts)
        .filter(|part| is_extent(part.size))
        .count();
    let waiting = model
        .uploads
        .iter()
        .flat_map(|upload| upload.parts.values());
    let waiting = waiting.filter(|body| is_extent(body.len() as u64)).count();
    assert_eq!(extents(&fixture.pool), whole + parts + waiting);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_model_does(operations in vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::with_bucket().await;
            let mut model = Model::default();
            for operation in operations {
                apply(&fixture, &mut model, operation).await;
                compare(&fixture, &model).await;
            }
            nothing_leaks(&fixture, &model).await;
        });
    }
}
