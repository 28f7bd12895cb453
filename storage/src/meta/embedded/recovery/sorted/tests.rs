use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::meta::{Change, embedded::body::encode_commit};

/// A commit that was found: its number, its keys, and on which disks.
type Found = (u64, BTreeSet<u8>, BTreeSet<u16>);

fn found() -> impl Strategy<Value = Vec<Found>> {
    let keys = prop::collection::btree_set(0..6_u8, 1..4);
    let disks = prop::collection::btree_set(0..4_u16, 1..4);
    prop::collection::vec((0..40_u64, keys, disks), 0..60)
}

/// The same number has the same change of a key wherever it is found; it may be found in parts.
fn body(seq: u64, keys: &BTreeSet<u8>) -> Bytes {
    let change = |key: &u8| Change {
        key: Bytes::copy_from_slice(&[b'k', *key]),
        value: (!(seq + u64::from(*key)).is_multiple_of(3))
            .then(|| Bytes::from(format!("{seq} {key}"))),
    };
    let changes: Vec<_> = keys.iter().map(change).collect();
    encode_commit(0, &changes).into()
}

type Flat = (Bytes, u64, Option<Bytes>, BTreeSet<u16>);

fn merged(commits: &[Found], run_bytes: usize, scratch: Option<Scratch>) -> Vec<Flat> {
    let mut sorter = Sorter::new(scratch, run_bytes);
    for (seq, keys, disks) in commits {
        for disk in disks {
            let home = (DiskNo(*disk), 1);
            sorter.add(Seq(*seq), body(*seq, keys), &[home]).unwrap();
        }
    }
    let mut merge = sorter.finish().unwrap();
    let mut all = Vec::new();
    loop {
        let announced = merge.next_key().cloned();
        let Some(item) = merge.next().unwrap() else {
            assert_eq!(announced, None);
            return all;
        };
        assert_eq!(announced.as_ref(), Some(&item.key));
        let disks = item.value.homes.iter().map(|(disk, _)| disk.0).collect();
        all.push((item.key, item.value.seq.0, item.value.value, disks));
    }
}

proptest! {
    #[test]
    fn changes_come_in_order_once_with_all_their_places(commits in found()) {
        let mut model: BTreeMap<(u8, Reverse<u64>), BTreeSet<u16>> = BTreeMap::new();
        for (seq, keys, disks) in &commits {
            for key in keys {
                model.entry((*key, Reverse(*seq))).or_default().extend(disks);
            }
        }
        let expected: Vec<_> = model.into_iter().map(|((key, seq), disks)| (key, seq.0, disks)).collect();
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch { dir: directory.path().join("sorting"), flight: None };
        for (run_bytes, scratch) in [(usize::MAX, None), (1, Some(scratch.clone())), (2000, Some(scratch.clone()))] {
            let all = merged(&commits, run_bytes, scratch);
            let found: Vec<_> = all.iter().map(|(key, seq, _, disks)| (key[1], *seq, disks.clone())).collect();
            prop_assert_eq!(&found, &expected);
            for (key, seq, value, _) in &all {
                let expected = (!(seq + u64::from(key[1])).is_multiple_of(3)).then(|| format!("{seq} {}", key[1]));
                prop_assert_eq!(value.as_deref(), expected.as_deref().map(str::as_bytes));
            }
        }
        prop_assert!(!scratch.dir.exists(), "runs are removed when they are merged");
    }
}

#[test]
fn a_run_that_was_cut_is_an_error_and_not_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch {
        dir: directory.path().join("sorting"),
        flight: None,
    };
    let mut sorter = Sorter::new(Some(scratch), 1);
    let keys = BTreeSet::from([1]);
    sorter.add(Seq(1), body(1, &keys), &[]).unwrap();
    let path = sorter.runs[0].clone();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(sorter.finish().is_err());
}
