//! Random operations, rules and days, compared with what the rules should do to a list of versions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    clock::Clock,
    objects::{testing::*, *},
    upkeep::Lifecycles,
};

const NAMES: [&str; 4] = ["a", "a/b", "b", "c"];
const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

type Name = &'static str;

#[derive(Clone, Debug)]
enum Operation {
    Put(Name, usize, Option<bool>),
    Delete(Name),
    DeleteVersion(Name, usize),
    Version(Versioning),
    Rules(Vec<LifecycleRule>),
    Hours(u64),
    Restart,
}

fn rule() -> impl Strategy<Value = LifecycleRule> {
    let prefix = option::of(select(&["", "a", "a/", "b"][..]));
    let sizes = (
        option::weighted(0.2, Just(10_u64)),
        option::weighted(0.2, Just(100_u64)),
    );
    let expiration = option::of(prop_oneof![
        3 => (1..4_u32).prop_map(Expiration::AfterDays),
        1 => (50..60_u64).prop_map(|day| Expiration::OnDate(day * DAY)),
        1 => any::<bool>().prop_map(Expiration::DeleteMarkers),
    ]);
    let noncurrent = option::of((1..4_u32, option::of(1..4_u32)));
    let parts = (
        any::<u8>(),
        prefix,
        sizes,
        option::weighted(0.3, any::<bool>()),
    );
    (parts, expiration, noncurrent).prop_map(|(parts, expiration, noncurrent)| {
        let (on, prefix, (larger_than, smaller_than), tag) = parts;
        LifecycleRule {
            id: "rule".to_owned(),
            is_enabled: on > 20,
            filter: LifecycleFilter {
                form: FilterForm::All,
                prefix: prefix.map(str::to_owned),
                tags: tag.map(tag_of).into_iter().collect(),
                larger_than,
                smaller_than,
            },
            expiration,
            noncurrent: noncurrent.map(|(days, newer_versions)| NoncurrentExpiration {
                days,
                newer_versions,
            }),
            abort_uploads_after_days: None,
        }
    })
}

fn tag_of(tag: bool) -> (String, String) {
    ("tag".to_owned(), tag.to_string())
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || select(&NAMES[..]);
    let versioning = select(&[Versioning::Enabled, Versioning::Suspended][..]);
    prop_oneof![
        8 => (name(), select(&[3_usize, 50, 150][..]), option::of(any::<bool>()))
            .prop_map(|(name, size, tag)| Operation::Put(name, size, tag)),
        2 => name().prop_map(Operation::Delete),
        1 => (name(), 0..4_usize).prop_map(|(name, nth)| Operation::DeleteVersion(name, nth)),
        1 => versioning.prop_map(Operation::Version),
        2 => vec(rule(), 1..4).prop_map(Operation::Rules),
        8 => (1..60_u64).prop_map(Operation::Hours),
        1 => Just(Operation::Restart),
    ]
}

#[derive(Clone, Debug)]
struct Version {
    /// `None`: a delete marker that the rules made.
    id: Option<VersionId>,
    is_marker: bool,
    size: u64,
    tag: Option<bool>,
    modified: u64,
}

#[derive(Debug, Default)]
struct Model {
    versioning: Versioning,
    /// The newest first.
    objects: BTreeMap<Name, Vec<Version>>,
    rules: Vec<LifecycleRule>,
}

/// The first midnight at which so many days have gone.
fn due(from: u64, days: u32) -> u64 {
    let age = from + u64::from(days) * DAY;
    age.div_ceil(DAY) * DAY
}

fn matches(rule: &LifecycleRule, name: &str, version: &Version) -> bool {
    let filter = &rule.filter;
    let tags: Vec<_> = version.tag.map(tag_of).into_iter().collect();
    rule.is_enabled
        && name.starts_with(filter.prefix.as_deref().unwrap_or(""))
        && filter.tags.iter().all(|tag| tags.contains(tag))
        && filter.larger_than.is_none_or(|than| version.size > than)
        && filter.smaller_than.is_none_or(|than| version.size < than)
}

impl Model {
    fn push(&mut self, name: Name, version: Version) {
        let versions = self.objects.entry(name).or_default();
        if self.versioning != Versioning::Enabled {
            versions.retain(|old| old.id != Some(VersionId::Null));
        }
        versions.insert(0, version);
    }

    /// What a pass at `now` does.
    fn pass(&mut self, now: u64) {
        let rules = self.rules.clone();
        let mut expired = Vec::new();
        for (name, versions) in &mut self.objects {
            let before = versions.clone();
            let mut at = 0;
            versions.retain(|version| {
                at += 1;
                let index = at - 1;
                index == 0
                    || !rules.iter().any(|rule| {
                        let since = before[index - 1].modified;
                        rule.noncurrent.is_some_and(|n| {
                            due(since, n.days) <= now
                                && index > n.newer_versions.unwrap_or(0) as usize
                        }) && matches(rule, name, version)
                    })
            });
            let latest = &before[0];
            let ends = |rule: &&LifecycleRule| {
                let when = match rule.expiration {
                    Some(Expiration::AfterDays(days)) => due(latest.modified, days),
                    Some(Expiration::OnDate(date)) if !latest.is_marker => date,
                    Some(Expiration::DeleteMarkers(true)) if latest.is_marker => 0,
                    _ => u64::MAX,
                };
                when <= now && matches(rule, name, latest)
            };
            let is_over = rules.iter().find(ends).is_some();
            if is_over && latest.is_marker && before.len() == 1 {
                versions.clear();
            } else if is_over && !latest.is_marker {
                expired.push(*name);
            }
        }
        for name in expired {
            if self.versioning == Versioning::Off {
                self.objects.remove(name);
                continue;
            }
            let is_null = self.versioning == Versioning::Suspended;
            let marker = Version {
                id: is_null.then_some(VersionId::Null),
                is_marker: true,
                size: 0,
                tag: None,
                modified: now,
            };
            self.push(name, marker);
        }
        self.objects.retain(|_, versions| !versions.is_empty());
    }
}

async fn apply(fixture: &mut Fixture, model: &mut Model, operation: Operation) -> bool {
    let bucket = bucket("bucket");
    let now = fixture.clock.unix_millis();
    match operation {
        Operation::Put(name, size, tag) => {
            let request = PutObject {
                tags: Tags(tag.map(tag_of).into_iter().collect()),
                ..fixture.request(name, &vec![1; size]).await
            };
            let written = fixture.store.put_object(request).await.unwrap();
            let version = Version {
                id: Some(written.version.unwrap_or(VersionId::Null)),
                is_marker: false,
                size: size as u64,
                tag,
                modified: now,
            };
            model.push(name, version);
        }
        Operation::Delete(name) => {
            let none = WriteConditions::default();
            let deleted = fixture.store.delete_object(&bucket, &key(name), none).await;
            let deleted = deleted.unwrap();
            if model.versioning == Versioning::Off {
                model.objects.remove(name);
            } else {
                let marker = Version {
                    id: deleted.version,
                    is_marker: true,
                    size: 0,
                    tag: None,
                    modified: now,
                };
                model.push(name, marker);
            }
        }
        Operation::DeleteVersion(name, nth) => {
            let Some(versions) = model.objects.get_mut(name) else {
                return false;
            };
            // Those that the rules made are found by their place.
            let all = fixture.versions().await;
            let all: Vec<_> = all.into_iter().filter(|(n, ..)| n == name).collect();
            if nth >= versions.len() {
                return false;
            }
            versions.remove(nth);
            model.objects.retain(|_, versions| !versions.is_empty());
            let removed = fixture.remove(name, all[nth].1, Governance::Heeded).await;
            assert!(removed.unwrap().changed);
        }
        Operation::Version(versioning) => {
            model.versioning = versioning;
            let set = fixture.store.set_versioning(&bucket, versioning).await;
            set.unwrap();
        }
        Operation::Rules(rules) => {
            model.rules.clone_from(&rules);
            fixture.set_rules(rules).await;
        }
        Operation::Hours(hours) => fixture.clock.advance(Duration::from_hours(hours)),
        Operation::Restart => {
            fixture.restart();
            return true;
        }
    }
    false
}

async fn compare(fixture: &Fixture, model: &Model) {
    let found = fixture.versions().await;
    let expected = model.objects.iter();
    let expected = expected.flat_map(|(name, versions)| versions.iter().map(move |v| (name, v)));
    let expected: Vec<_> = expected.collect();
    let names = |name: &str, is_marker| (name.to_owned(), is_marker);
    let shown: Vec<_> = found.iter().map(|(n, _, m)| names(n, *m)).collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|(n, v)| names(n, v.is_marker))
        .collect();
    assert_eq!(shown, wanted);
    for ((_, id, _), (_, version)) in found.iter().zip(expected) {
        assert!(version.id.is_none_or(|expected| expected == *id));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_due_goes_and_nothing_else(operations in vec(operation(), 1..50), is_versioned: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::with_bucket().await;
            fixture.clock.advance(Duration::from_hours(50 * 24));
            let mut model = Model::default();
            let mut lifecycles = fixture.lifecycles();
            if is_versioned {
                apply(&mut fixture, &mut model, Operation::Version(Versioning::Enabled)).await;
            }
            let mut day = 0;
            for operation in operations {
                let sets_rules = matches!(operation, Operation::Rules(_));
                if apply(&mut fixture, &mut model, operation).await {
                    lifecycles = fixture.lifecycles();
                }
                look(&fixture, &mut model, &lifecycles, (&mut day, sets_rules)).await;
                compare(&fixture, &model).await;
            }
        });
    }
}

/// Has a pass made, in the store and in the model, if one is due.
async fn look(
    fixture: &Fixture,
    model: &mut Model,
    lifecycles: &Arc<Lifecycles>,
    (day, sets_rules): (&mut u64, bool),
) {
    let passes = lifecycles.status().passes;
    lifecycles.look_for_work().await.unwrap();
    let now = fixture.clock.unix_millis();
    let is_due = now / DAY != *day || sets_rules;
    // After a restart there may be one more: it finds nothing new but what is due.
    if lifecycles.status().passes > passes {
        model.pass(now);
    } else {
        assert!(!is_due, "a pass was due");
    }
    *day = now / DAY;
}
