//! Random operations on a bucket with object lock, and on its clock, compared with what they should do to a list of versions.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::objects::{testing::*, *};

const NAMES: [&str; 3] = ["a", "a/b", "b"];
const HOUR: u64 = 60 * 60 * 1000;
const MARK_AGE: u64 = 5 * 60 * 1000;

type Name = &'static str;

#[derive(Clone, Debug)]
enum Operation {
    Put(Name, bool, Asked),
    Upload(Name, Asked),
    /// A mode, and days.
    Default(Option<(RetentionMode, u32)>),
    Delete(Name),
    DeleteVersion(Name, usize, Governance),
    DeleteMany(Vec<(Name, usize)>, Governance),
    /// A mode, and hours from now.
    Retain(Name, usize, Option<(RetentionMode, u64)>, Governance),
    Hold(Name, usize, bool),
    Tag(Name, usize),
    /// Hours.
    Advance(u64),
    /// How many hours the wall clock is behind from now on.
    SetBack(u64),
    /// After a clean stop, or a crash.
    Restart(bool),
    Sweep,
}

/// What a write asks for: a mode and hours from now, a hold.
#[derive(Clone, Copy, Debug)]
struct Asked(Option<(RetentionMode, u64)>, Option<bool>);

fn mode() -> impl Strategy<Value = RetentionMode> {
    prop_oneof![
        Just(RetentionMode::Governance),
        Just(RetentionMode::Compliance)
    ]
}

fn governance() -> impl Strategy<Value = Governance> {
    prop_oneof![Just(Governance::Heeded), Just(Governance::Bypassed)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || select(&NAMES[..]);
    let retention = || prop::option::of((mode(), 1..80_u64));
    let asked =
        || (retention(), prop::option::weighted(0.2, any::<bool>())).prop_map(|(r, h)| Asked(r, h));
    let nth = || 0..4_usize;
    prop_oneof![
        6 => (name(), any::<bool>(), asked()).prop_map(|(name, large, asked)| Operation::Put(name, large, asked)),
        2 => (name(), asked()).prop_map(|(name, asked)| Operation::Upload(name, asked)),
        2 => prop::option::of((mode(), 1..4_u32)).prop_map(Operation::Default),
        1 => name().prop_map(Operation::Delete),
        6 => (name(), nth(), governance()).prop_map(|(name, nth, g)| Operation::DeleteVersion(name, nth, g)),
        1 => (vec((name(), nth()), 0..4), governance()).prop_map(|(items, g)| Operation::DeleteMany(items, g)),
        4 => (name(), nth(), retention(), governance()).prop_map(|(name, nth, r, g)| Operation::Retain(name, nth, r, g)),
        2 => (name(), nth(), any::<bool>()).prop_map(|(name, nth, held)| Operation::Hold(name, nth, held)),
        1 => (name(), nth()).prop_map(|(name, nth)| Operation::Tag(name, nth)),
        3 => (1..60_u64).prop_map(Operation::Advance),
        2 => (0..100_u64).prop_map(Operation::SetBack),
        2 => any::<bool>().prop_map(Operation::Restart),
        1 => Just(Operation::Sweep),
    ]
}

#[derive(Debug)]
struct Version {
    id: VersionId,
    body: Vec<u8>,
    lock: ObjectLock,
}

#[derive(Debug, Default)]
struct Model {
    default: Option<(RetentionMode, u32)>,
    /// Delete markers are left out: nothing protects them.
    versions: BTreeMap<Name, Vec<Version>>,
    /// The time that retentions are counted from.
    time: u64,
    /// What of it is in the metadata.
    mark: u64,
    count: u8,
}

impl Model {
    fn nth(&self, name: &str, nth: usize) -> VersionId {
        let version = self.versions.get(name).and_then(|all| all.get(nth));
        version.map_or(VersionId::Number(7), |version| version.id)
    }

    fn find(&mut self, name: &str, id: VersionId) -> Option<&mut Version> {
        self.versions.get_mut(name)?.iter_mut().find(|v| v.id == id)
    }

    /// What must have become of a deletion at `wall`.
    fn delete(
        &mut self,
        name: &str,
        id: VersionId,
        (governance, wall): (Governance, u64),
        result: &Result<Deleted, StoreError>,
    ) {
        let Some(version) = self.find(name, id) else {
            assert!(!result.as_ref().unwrap().changed);
            return;
        };
        if is_protected(&version.lock, governance, wall) {
            assert!(matches!(result, Err(StoreError::Locked)), "{result:?}");
        } else {
            assert!(result.as_ref().unwrap().changed);
            self.versions
                .get_mut(name)
                .unwrap()
                .retain(|version| version.id != id);
        }
    }
}

/// Object lock in one sentence.
fn is_protected(lock: &ObjectLock, governance: Governance, wall: u64) -> bool {
    let is_bypassed =
        |mode| mode == RetentionMode::Governance && governance == Governance::Bypassed;
    let retention = lock.retention;
    let is_retained = retention.is_some_and(|r| wall < r.until_unix_millis && !is_bypassed(r.mode));
    lock.legal_hold == Some(true) || is_retained
}

fn lock(asked: Asked, now: u64) -> ObjectLock {
    ObjectLock {
        retention: asked.0.map(|asked| retention(asked, now)),
        legal_hold: asked.1,
    }
}

fn retention((mode, hours): (RetentionMode, u64), now: u64) -> Retention {
    Retention {
        mode,
        until_unix_millis: now + hours * HOUR,
    }
}

/// Asserts that a new version has the lock that it should have, and writes it down.
async fn written(
    fixture: &Fixture,
    model: &mut Model,
    name: Name,
    what: (VersionId, Vec<u8>, ObjectLock),
) {
    let (id, body, asked) = what;
    let bucket = bucket("bucket");
    let handle = fixture
        .store
        .object_version(&bucket, &key(name), Some(id))
        .await;
    let lock = handle.unwrap().info().lock;
    assert_eq!(lock.legal_hold, asked.legal_hold);
    match (asked.retention, model.default) {
        (Some(asked), _) => assert_eq!(lock.retention, Some(asked)),
        (None, None) => assert_eq!(lock.retention, None),
        (None, Some((mode, days))) => {
            let expected = retention((mode, u64::from(days) * 24), model.time);
            assert_eq!(lock.retention, Some(expected));
        }
    }
    let versions = model.versions.entry(name).or_default();
    versions.insert(0, Version { id, body, lock });
}

async fn apply(fixture: &mut Fixture, model: &mut Model, operation: Operation) {
    use crate::clock::Clock;
    let bucket = bucket("bucket");
    let (wall, now) = (fixture.clock.unix_millis(), model.time);
    let store = fixture.store.clone();
    match operation {
        Operation::Put(name, is_large, asked) => {
            model.count = model.count.wrapping_add(1);
            let body = vec![model.count; if is_large { 300 } else { 3 }];
            let lock = lock(asked, now);
            let request = PutObject {
                lock,
                ..fixture.request(name, &body).await
            };
            let id = store.put_object(request).await.unwrap().version.unwrap();
            written(fixture, model, name, (id, body, lock)).await;
        }
        Operation::Upload(name, asked) => {
            let lock = lock(asked, now);
            let request = CreateUpload {
                encryption: None,
                bucket,
                key: key(name),
                headers: Headers::default(),
                tags: Tags::default(),
                checksum: None,
                lock,
                acl: ObjectAcl::default(),
            };
            let upload = store.create_upload(request).await.unwrap();
            let body = b"upload".to_vec();
            fixture.part(name, upload, 1, &body).await.unwrap();
            let done = fixture.complete(name, upload, &[(1, &body)]).await.unwrap();
            written(fixture, model, name, (done.version.unwrap(), body, lock)).await;
        }
        Operation::Default(default) => {
            model.default = default;
            let rule = |(mode, days)| DefaultRetention {
                mode,
                period: RetentionPeriod::Days(days),
            };
            fixture.set_default(default.map(rule)).await;
            model.mark = model.time;
        }
        Operation::Delete(name) => assert!(fixture.delete(name).await.unwrap()),
        Operation::DeleteVersion(name, nth, governance) => {
            let id = model.nth(name, nth);
            let result = fixture.remove(name, id, governance).await;
            model.delete(name, id, (governance, wall), &result);
        }
        Operation::DeleteMany(wanted, governance) => {
            delete_many(fixture, model, &wanted, (governance, wall)).await;
        }
        Operation::Retain(name, nth, asked, governance) => {
            retain(fixture, model, (name, nth), asked, (governance, wall)).await;
        }
        Operation::Hold(name, nth, is_held) => {
            let id = model.nth(name, nth);
            let set = store
                .set_legal_hold(&bucket, &key(name), Some(id), is_held)
                .await;
            assert_eq!(set.is_ok(), model.find(name, id).is_some());
            if let Some(version) = model.find(name, id) {
                version.lock.legal_hold = Some(is_held);
            }
        }
        Operation::Tag(name, nth) => {
            let id = model.nth(name, nth);
            let tags = Tags(vec![("a".into(), "b".into())]);
            let set = store
                .set_version_tags(&bucket, &key(name), Some(id), tags)
                .await;
            assert_eq!(set.is_ok(), model.find(name, id).is_some());
        }
        Operation::Advance(hours) => {
            fixture.clock.advance(Duration::from_hours(hours));
            model.time += hours * HOUR;
        }
        Operation::SetBack(hours) => fixture.clock.set_behind(Duration::from_hours(hours)),
        Operation::Restart(is_clean) => {
            if is_clean {
                store.mark_time(true).await.unwrap();
                model.mark = model.time;
            }
            fixture.restart();
            model.time = model.mark;
        }
        Operation::Sweep => drop(store.sweep_once(1000).await.unwrap()),
    }
}

async fn retain(
    fixture: &Fixture,
    model: &mut Model,
    (name, nth): (Name, usize),
    asked: Option<(RetentionMode, u64)>,
    (governance, wall): (Governance, u64),
) {
    let bucket = bucket("bucket");
    let id = model.nth(name, nth);
    let new = asked.map(|asked| retention(asked, model.time));
    let set = fixture
        .store
        .set_retention(&bucket, &key(name), Some(id), new, governance)
        .await;
    let Some(version) = model.find(name, id) else {
        assert!(set.is_err());
        return;
    };
    let without_hold = ObjectLock {
        legal_hold: None,
        ..version.lock
    };
    let is_extended = match (version.lock.retention, new) {
        (Some(old), Some(new)) => {
            old.mode == new.mode && old.until_unix_millis <= new.until_unix_millis
        }
        _ => false,
    };
    if is_protected(&without_hold, governance, wall) && !is_extended {
        assert!(matches!(set, Err(StoreError::Locked)), "{set:?}");
    } else {
        set.unwrap();
        version.lock.retention = new;
    }
}

async fn delete_many(
    fixture: &Fixture,
    model: &mut Model,
    wanted: &[(Name, usize)],
    (governance, wall): (Governance, u64),
) {
    let bucket = bucket("bucket");
    let mut items: Vec<_> = wanted.iter().map(|(n, i)| (*n, model.nth(n, *i))).collect();
    items.sort_unstable();
    items.dedup();
    let item = |(name, id): &(Name, VersionId)| DeleteItem {
        key: key(name),
        version: Some(*id),
        if_match: None,
    };
    let wanted = items.iter().map(item).collect();
    let results = fixture
        .store
        .delete_objects(&bucket, wanted, governance)
        .await;
    for ((name, id), result) in items.into_iter().zip(results.unwrap()) {
        model.delete(name, id, (governance, wall), &result);
    }
}

/// What upkeep does every second.
async fn look_after(fixture: &Fixture, model: &mut Model) {
    use crate::clock::Clock;
    model.time = model.time.max(fixture.clock.unix_millis());
    fixture.store.mark_time(false).await.unwrap();
    if model.time > model.mark + MARK_AGE {
        model.mark = model.time;
    }
}

/// All that should be there is, with its lock and its bytes.
async fn compare(fixture: &Fixture, model: &Model) {
    for (name, versions) in &model.versions {
        for version in versions {
            let (bucket, id) = (bucket("bucket"), Some(version.id));
            let handle = fixture.store.object_version(&bucket, &key(name), id).await;
            let handle = handle.unwrap();
            assert_eq!(handle.info().lock, version.lock);
            let reader = handle.read(0..handle.info().size).await.unwrap();
            assert_eq!(read_all(reader).await.unwrap(), version.body);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn locked_versions_stay_whatever_is_done_to_them_and_to_the_clock(operations in vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::with_locked_bucket().await;
            let start = fixture.clock.true_millis();
            let mut model = Model { time: start, mark: start, ..Model::default() };
            apply(&mut fixture, &mut model, Operation::Advance(1000)).await;
            for operation in operations {
                look_after(&fixture, &mut model).await;
                apply(&mut fixture, &mut model, operation).await;
                compare(&fixture, &model).await;
            }
        });
    }
}
