//! Random operations on a view and on a `BTreeMap`, compared after each, with reopening in the mix.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{Home, bytes, entries, remove};
use crate::meta::view::{View, ViewChange};

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<ViewChange>),
    Get(Bytes),
    Scan(Bytes, Bytes, usize),
    Persist,
    Reopen,
}

/// Few keys, so that they meet; some long, some prefixes of others.
fn key() -> impl Strategy<Value = Bytes> {
    let short = vec(prop::sample::select(vec![0, b'/', b'a', b'b', 0xff]), 1..5);
    let long = (any::<u8>(), 60..2_048_usize).prop_map(|(byte, len)| vec![byte % 4; len]);
    prop_oneof![8 => short, 1 => long].prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Bytes> {
    let filled = |(byte, len)| Bytes::from(vec![byte; len]);
    prop_oneof![
        8 => (any::<u8>(), 0..350_usize).prop_map(filled),
        1 => (any::<u8>(), 0..=65_536_usize).prop_map(filled),
    ]
}

fn change() -> impl Strategy<Value = ViewChange> {
    (key(), prop::option::weighted(0.7, value())).prop_map(|(key, value)| ViewChange { key, value })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(change(), 0..6).prop_map(Step::Apply),
        4 => key().prop_map(Step::Get),
        4 => (key(), key(), 1..20_usize).prop_map(|(a, b, limit)| Step::Scan(a, b, limit)),
        2 => Just(Step::Persist),
        1 => Just(Step::Reopen),
    ]
}

pub(super) fn equals_a_btreemap_through_reopening(home: &impl Home) {
    let config = Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..60), |steps| {
        run(home, steps);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn run(home: &impl Home, steps: Vec<Step>) {
    let mut view = home.open();
    clear(&*view);
    let mut model = BTreeMap::new();
    for step in steps {
        match step {
            Step::Apply(changes) => apply(&*view, &mut model, &changes),
            Step::Get(key) => assert_eq!(view.get(&key).unwrap().as_ref(), model.get(&key)),
            Step::Scan(from, to, limit) => compare_scan(&*view, &model, &from, &to, limit),
            Step::Persist => view.persist().unwrap(),
            Step::Reopen => {
                view.persist().unwrap();
                drop(view);
                view = home.open();
            }
        }
    }
    let all: Vec<_> = model.into_iter().collect();
    assert_eq!(entries(&*view, b"", &[0xff; 64]), all);
}

/// A home is used by all cases, so each begins by emptying the view.
fn clear(view: &dyn View) {
    for (key, _) in entries(view, b"", &[0xff; 64]) {
        view.apply(&[remove(key)]).unwrap();
    }
}

fn apply(view: &dyn View, model: &mut BTreeMap<Bytes, Bytes>, changes: &[ViewChange]) {
    view.apply(changes).unwrap();
    for change in changes {
        match &change.value {
            Some(value) => model.insert(change.key.clone(), value.clone()),
            None => model.remove(&change.key),
        };
        assert_eq!(
            view.get(&change.key).unwrap().is_some(),
            last_puts(changes, &change.key)
        );
    }
}

fn last_puts(changes: &[ViewChange], key: &Bytes) -> bool {
    changes
        .iter()
        .rfind(|change| change.key == key)
        .is_some_and(|change| change.value.is_some())
}

fn compare_scan(
    view: &dyn View,
    model: &BTreeMap<Bytes, Bytes>,
    from: &[u8],
    to: &[u8],
    limit: usize,
) {
    let mut found = Vec::new();
    view.scan(from, to, &mut |key, value| {
        found.push((bytes(key), bytes(value)));
        found.len() < limit
    })
    .unwrap();
    let within = model
        .iter()
        .filter(|(key, _)| from <= &key[..] && &key[..] < to);
    let expected: Vec<_> = within
        .take(limit)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(found, expected);
}
