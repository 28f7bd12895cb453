mod change;

use std::sync::Arc;

use super::*;
use crate::{
    disk::{LocalVolume, MemoryVolume, Volume, fault::FaultVolume},
    rng::{Rng, SeededRng},
};

type Faulty = FaultVolume<MemoryVolume>;

/// Data directories and what happens to them between starts.
struct Cluster {
    slots: Vec<Faulty>,
    rng: SeededRng,
}

impl Cluster {
    fn new(count: usize) -> Self {
        let mut cluster = Self {
            slots: Vec::new(),
            rng: SeededRng::new(42),
        };
        (0..count).for_each(|slot| cluster.slots.push(empty(slot)));
        cluster
    }

    /// A cluster that was started once.
    fn formatted(count: usize) -> Self {
        let cluster = Self::new(count);
        assert!(cluster.start().unwrap().created);
        cluster
    }

    fn start(&self) -> Result<Assembly, IdentityError> {
        let volume = |slot: &Faulty| Arc::new(slot.clone()) as Arc<dyn Volume>;
        assemble(
            self.slots.iter().map(volume).collect(),
            Some("2+2"),
            &self.rng,
        )
    }

    fn refused(&self) -> IdentityError {
        let before = self.files();
        let error = self.start().unwrap_err();
        assert_eq!(self.files(), before, "a refusal changes nothing: {error}");
        error
    }

    fn files(&self) -> Vec<std::collections::BTreeMap<String, Vec<u8>>> {
        self.slots.iter().map(|slot| slot.inner().files()).collect()
    }

    fn empty_slot(&mut self, slot: usize) -> Faulty {
        std::mem::replace(&mut self.slots[slot], empty(slot))
    }

    fn break_slot(&self, slot: usize) {
        for operation in [
            crate::disk::fault::Operation::Open,
            crate::disk::fault::Operation::List,
        ] {
            self.slots[slot].inject(crate::disk::fault::Fault {
                operation,
                path: "",
                after: 0,
                times: u64::MAX,
                effect: crate::disk::fault::Effect::Errno(libc::EIO),
            });
        }
    }

    fn power_cut(&mut self) {
        for slot in &mut self.slots {
            *slot = FaultVolume::new(slot.inner().crash(&self.rng));
        }
    }
}

fn empty(slot: usize) -> Faulty {
    FaultVolume::new(MemoryVolume::new(format!("/data/{slot}"), 1 << 20))
}

fn numbers(assembly: &Assembly) -> Vec<u16> {
    assembly
        .disks
        .iter()
        .map(|disk| disk.member.number.0)
        .collect()
}

fn ids(assembly: &Assembly) -> Vec<u128> {
    assembly
        .disks
        .iter()
        .map(|disk| disk.member.disk_id)
        .collect()
}

fn is_present(disk: &Assembled) -> bool {
    matches!(disk.state, AssembledState::Present { .. })
}

#[test]
fn empty_directories_become_a_cluster_that_is_found_again() {
    let cluster = Cluster::new(4);
    let made = cluster.start().unwrap();
    assert!(
        made.created
            && made
                .disks
                .iter()
                .all(|disk| !disk.replaced && is_present(disk))
    );
    assert_eq!((numbers(&made), made.generation), (vec![0, 1, 2, 3], 1));
    let (cluster_id, made_ids) = (made.cluster_id, ids(&made));
    drop(made);
    let found = cluster.start().unwrap();
    assert!(
        !found.created
            && found
                .disks
                .iter()
                .all(|disk| !disk.replaced && is_present(disk))
    );
    assert_eq!(
        (found.cluster_id, ids(&found), found.generation),
        (cluster_id, made_ids, 1)
    );
    assert_eq!(found.profile.as_deref(), Some("2+2"));
    assert!(found.reports.is_empty(), "{:?}", found.reports);
}

#[test]
fn lost_and_found_and_leftovers_count_as_empty() {
    let cluster = Cluster::new(1);
    cluster.slots[0].create_dir("lost+found").unwrap();
    cluster.slots[0].create("disk.json.tmp").unwrap();
    assert!(cluster.start().unwrap().created);
}

#[test]
fn directory_with_other_files_is_refused_by_name() {
    for formatted in [false, true] {
        let mut cluster = if formatted {
            Cluster::formatted(2)
        } else {
            Cluster::new(2)
        };
        cluster.empty_slot(1);
        cluster.slots[1].create("thesis.doc").unwrap();
        let message = cluster.refused().to_string();
        assert!(
            message.contains("/data/1") && message.contains("thesis.doc"),
            "{message}"
        );
    }
}

#[test]
fn disk_of_another_cluster_is_refused_by_name() {
    let mut cluster = Cluster::formatted(3);
    let mut other = Cluster::new(3);
    other.rng = SeededRng::new(7);
    drop(other.start().unwrap());
    cluster.slots[1] = other.empty_slot(1);
    let error = cluster.refused();
    assert!(
        matches!(&error, IdentityError::OtherCluster { path, .. } if path == "/data/1"),
        "{error}"
    );
}

#[test]
fn swapped_directories_are_refused_with_both_places() {
    let mut cluster = Cluster::formatted(4);
    cluster.slots.swap(1, 3);
    let expected = IdentityError::WrongSlot {
        path: "/data/3".to_owned(),
        found: 3,
        belongs: 3,
        given: 1,
    };
    assert_eq!(cluster.refused(), expected);
}

#[test]
fn empty_directory_in_place_of_a_disk_replaces_it_under_a_new_number() {
    let mut cluster = Cluster::formatted(4);
    let old = cluster.empty_slot(2);
    let replaced = cluster.start().unwrap();
    assert_eq!(
        (numbers(&replaced), replaced.generation),
        (vec![0, 1, 4, 3], 2)
    );
    assert!(replaced.disks[2].replaced && !replaced.disks[0].replaced && !replaced.created);
    assert!(
        replaced.reports[0].contains("disk 2 is replaced by disk 4 (/data/2"),
        "{:?}",
        replaced.reports
    );
    drop(replaced);
    assert!(!cluster.start().unwrap().disks[2].replaced, "only once");

    let new = std::mem::replace(&mut cluster.slots[2], old);
    let error = cluster.refused();
    assert!(
        matches!(
            &error,
            IdentityError::ReplacedSince {
                found: 2,
                given: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("expects disk 4"), "{error}");
    cluster.slots[2] = new;
    cluster.empty_slot(2);
    assert_eq!(
        numbers(&cluster.start().unwrap()),
        [0, 1, 5, 3],
        "numbers are never reused"
    );
}

#[test]
fn unreadable_disk_is_missing_and_catches_up_later() {
    let mut cluster = Cluster::formatted(4);
    cluster.break_slot(3);
    cluster.empty_slot(0);
    let degraded = cluster.start().unwrap();
    assert_eq!(
        (numbers(&degraded), degraded.generation),
        (vec![4, 1, 2, 3], 2)
    );
    assert!(!is_present(&degraded.disks[3]) && !degraded.disks[3].replaced);
    assert!(
        degraded.reports.iter().any(|r| r.contains("/data/3")),
        "{:?}",
        degraded.reports
    );
    drop(degraded);
    cluster.slots[3].heal();
    let whole = cluster.start().unwrap();
    assert!(whole.disks.iter().all(is_present));
    drop(whole);
    let documents: Vec<_> = cluster
        .files()
        .into_iter()
        .map(|mut f| f.remove("disk.json"))
        .collect();
    assert!(String::from_utf8_lossy(documents[3].as_ref().unwrap()).contains("\"generation\": 2"));
}

#[test]
fn damaged_identity_makes_a_disk_missing() {
    let cluster = Cluster::formatted(2);
    cluster.slots[0]
        .inner()
        .tamper("disk.json", |bytes| bytes[40] ^= 1)
        .unwrap();
    let degraded = cluster.start().unwrap();
    let AssembledState::Missing { reason } = &degraded.disks[0].state else {
        panic!("accepted")
    };
    assert!(reason.contains("damaged"), "{reason}");
}

#[test]
fn later_format_is_refused_untouched() {
    let cluster = Cluster::formatted(2);
    let later = |bytes: &mut Vec<u8>| *bytes = br#"{"format": 9}"#.to_vec();
    cluster.slots[1].inner().tamper("disk.json", later).unwrap();
    let path = "/data/1".to_owned();
    assert_eq!(
        cluster.refused(),
        IdentityError::NewerFormat {
            path,
            found: 9,
            supported: 2
        }
    );
}

#[test]
fn fewer_directories_are_refused_more_are_added() {
    let mut cluster = Cluster::formatted(3);
    let last = cluster.slots.pop().unwrap();
    assert_eq!(
        cluster.refused(),
        IdentityError::TooFewDirectories {
            expected: 3,
            got: 2,
            missing: "disk 2 (place 2, counted from 0)".to_owned()
        }
    );
    cluster.slots.extend([last, empty(3), empty(4)]);
    let grown = cluster.start().unwrap();
    assert_eq!(
        (numbers(&grown), grown.generation),
        (vec![0, 1, 2, 3, 4], 2)
    );
    assert_eq!(
        grown.disks.iter().map(|d| d.replaced).collect::<Vec<_>>(),
        [false, false, false, true, true]
    );
    drop(grown);
    cluster.slots.push(empty(5));
    cluster.break_slot(5);
    assert!(matches!(
        cluster.refused(),
        IdentityError::NewDiskUnusable { .. }
    ));
}

#[test]
fn mostly_empty_directories_are_taken_for_unmounted() {
    let mut cluster = Cluster::formatted(4);
    (1..4).for_each(|slot| drop(cluster.empty_slot(slot)));
    assert_eq!(
        cluster.refused(),
        IdentityError::MostlyEmpty {
            expected: 4,
            empty: 3
        }
    );
}

#[test]
fn clusters_without_any_readable_or_given_directory_are_refused() {
    let cluster = Cluster::formatted(2);
    (0..2).for_each(|slot| cluster.break_slot(slot));
    assert!(matches!(
        cluster.refused(),
        IdentityError::NothingReadable { .. }
    ));
    assert_eq!(Cluster::new(0).refused(), IdentityError::NoDirectories);
}

#[test]
fn directories_in_use_or_given_twice_are_refused() {
    let mut cluster = Cluster::formatted(2);
    let held = cluster.start().unwrap();
    assert_eq!(
        cluster.refused(),
        IdentityError::InUse {
            path: "/data/0".to_owned()
        }
    );
    drop(held);
    cluster.slots[1] = cluster.slots[0].clone();
    assert_eq!(
        cluster.refused(),
        IdentityError::InUse {
            path: "/data/0".to_owned()
        }
    );
}

#[test]
fn disks_started_apart_are_refused() {
    let mut cluster = Cluster::formatted(2);
    let second = cluster.empty_slot(1);
    drop(cluster.start().unwrap());
    let first = cluster.empty_slot(0);
    cluster.slots[1] = second;
    drop(cluster.start().unwrap());
    cluster.slots[0] = first;
    assert!(matches!(
        cluster.refused(),
        IdentityError::Conflict { generation: 2, .. }
    ));
}

#[test]
fn formatting_survives_a_power_cut_at_any_sync() {
    for n in 0..40 {
        let mut cluster = Cluster::new(4);
        cluster.slots[usize::try_from(n % 4).unwrap()].stop_after_syncs(n / 4);
        let whole = cluster.start().is_ok();
        cluster.power_cut();
        let after = cluster.start().unwrap();
        assert!(after.disks.iter().all(is_present), "{n}");
        assert_eq!(numbers(&after), [0, 1, 2, 3], "{n}");
        assert!(!whole || !after.created, "{n}: formatted twice");
    }
}

#[test]
fn replacing_survives_a_power_cut_at_any_sync() {
    for n in 0..4 {
        for stopped in 0..4 {
            let mut cluster = Cluster::formatted(4);
            cluster.empty_slot(1);
            cluster.slots[stopped].stop_after_syncs(n);
            let used = cluster.start().map(|assembly| numbers(&assembly)).unwrap();
            cluster.power_cut();
            let after = cluster.start().unwrap();
            assert!(after.disks.iter().all(is_present), "{n} {stopped}");
            let number = after.disks[1].member.number.0;
            assert!(number > 3, "{n} {stopped}");
            let known = |slot: usize| after.disks[slot].member.number.0;
            assert_eq!((known(0), known(2), known(3)), (0, 2, 3));
            assert!(
                number == used[1] || after.disks[1].replaced,
                "{n} {stopped}"
            );
            assert_eq!(after.generation, if number == 4 { 2 } else { 3 });
        }
    }
}

#[test]
fn random_starts_never_give_a_number_twice() {
    for seed in 0..200 {
        let mut cluster = Cluster::formatted(5);
        // Not the seed of `formatted`: ids would come again.
        cluster.rng = SeededRng::new(1000 + seed);
        let mut owners = std::collections::BTreeMap::new();
        for _ in 0..12 {
            let pick = |n: usize| usize::try_from(cluster.rng.next_u64() % n as u64).unwrap();
            let (slot, stopped, syncs) = (pick(5), pick(5), pick(4) as u64);
            match pick(3) {
                0 => drop(cluster.empty_slot(slot)),
                1 => cluster.slots[stopped].stop_after_syncs(syncs),
                _ => {}
            }
            let assembly = cluster.start().unwrap();
            for disk in assembly.disks.iter().filter(|disk| is_present(disk)) {
                let Member { number, disk_id } = disk.member;
                let owner = *owners.entry(number).or_insert(disk_id);
                assert_eq!(owner, disk_id, "seed {seed}: {number:?} given twice");
            }
            drop(assembly);
            cluster.power_cut();
        }
    }
}

#[test]
fn real_directories_work_and_missing_ones_are_told() {
    let root = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3).map(|n| root.path().join(format!("d{n}"))).collect();
    let start = || {
        let volume =
            |path: &std::path::PathBuf| Arc::new(LocalVolume::new(path)) as Arc<dyn Volume>;
        assemble(paths.iter().map(volume).collect(), None, &SeededRng::new(1))
    };
    assert!(matches!(
        start(),
        Err(IdentityError::NothingReadable { .. })
    ));
    for path in &paths {
        std::fs::create_dir(path).unwrap();
    }
    assert!(start().unwrap().created);
    let held = start().unwrap();
    assert!(matches!(start(), Err(IdentityError::InUse { .. })));
    drop(held);
    std::fs::remove_dir_all(&paths[1]).unwrap();
    let degraded = start().unwrap();
    assert_eq!(
        degraded.disks.iter().map(is_present).collect::<Vec<_>>(),
        [true, false, true]
    );
}
