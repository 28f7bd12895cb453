//! Disks that are added, drained, removed and replaced while the cluster is open.

use super::*;
use crate::disk::{DiskError, Role};

/// A change of the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add,
    Drain(u16),
    Cancel(u16),
    Remove(u16),
    Replace(u16),
}

/// A cluster that is open.
struct Open {
    assembly: Assembly,
    roster: Roster,
    newcomer: Option<Newcomer>,
}

impl Cluster {
    fn open(&self) -> Result<Open, IdentityError> {
        let assembly = self.start()?;
        let volume = |slot: &Faulty| Arc::new(slot.clone()) as Arc<dyn Volume>;
        let roster = assembly.roster(self.slots.iter().map(volume).collect());
        Ok(Open {
            assembly,
            roster,
            newcomer: None,
        })
    }

    fn without(&self, slot: usize) -> Self {
        let mut slots = self.slots.clone();
        slots.remove(slot);
        self.of(slots)
    }

    fn of(&self, slots: Vec<Faulty>) -> Self {
        let rng = SeededRng::new(self.rng.next_u64());
        Self { slots, rng }
    }
}

impl Open {
    fn propose(
        &mut self,
        change: Change,
        directory: &Faulty,
        rng: &SeededRng,
    ) -> Result<Proposal, IdentityError> {
        let place = match change {
            Change::Add => Place::Last,
            Change::Replace(number) => Place::Of(DiskNo(number)),
            Change::Drain(number) => {
                return Ok(self.roster.with_role(DiskNo(number), Role::Draining));
            }
            Change::Cancel(number) => {
                return Ok(self.roster.with_role(DiskNo(number), Role::Member));
            }
            Change::Remove(number) => return Ok(self.roster.without(DiskNo(number))),
        };
        let volume = Arc::new(directory.clone());
        let (newcomer, proposal) = self.roster.admit(volume, place, rng)?;
        self.newcomer = Some(newcomer);
        Ok(proposal)
    }

    /// The newcomer first, then the others, until one fails.
    fn write(&self, proposal: &Proposal) -> Result<(), DiskError> {
        let newcomer = self.newcomer.as_ref();
        let newcomer = newcomer.map(|newcomer| newcomer.member.number);
        let mut writes = proposal.writes();
        writes.sort_by_key(|(number, _)| Some(*number) != newcomer);
        writes.into_iter().try_for_each(|(_, write)| write())
    }

    fn change(&mut self, change: Change, directory: &Faulty, rng: &SeededRng) {
        let proposal = self.propose(change, directory, rng).unwrap();
        self.write(&proposal).unwrap();
        self.roster.accept(proposal);
    }
}

fn new_directory() -> Faulty {
    FaultVolume::new(MemoryVolume::new("/data/new".to_owned(), 1 << 20))
}

fn roles(assembly: &Assembly) -> Vec<Role> {
    assembly.disks.iter().map(|disk| disk.role).collect()
}

fn formats(cluster: &Cluster) -> Vec<bool> {
    let files = cluster.files().into_iter();
    let texts = files.map(|mut files| String::from_utf8(files.remove("disk.json").unwrap()));
    texts
        .map(|text| text.unwrap().contains("\"format\": 2"))
        .collect()
}

#[test]
fn a_disk_is_added_drained_and_removed_and_found_so_at_the_next_start() {
    let mut cluster = Cluster::formatted(4);
    let new = new_directory();
    let mut open = cluster.open().unwrap();
    open.change(Change::Add, &new, &cluster.rng);
    open.change(Change::Drain(1), &new, &cluster.rng);
    assert_eq!(open.roster.numbers(), [0, 1, 2, 3, 4].map(DiskNo));
    drop(open);
    assert!(formats(&cluster).iter().all(|is_later| *is_later));

    cluster.slots.push(new.clone());
    let mut open = cluster.open().unwrap();
    let draining = Role::Draining;
    let member = Role::Member;
    assert_eq!(
        roles(&open.assembly),
        [member, draining, member, member, member]
    );
    assert!(open.assembly.disks.iter().all(|disk| !disk.replaced));
    open.change(Change::Cancel(1), &new, &cluster.rng);
    assert!(formats(&cluster).iter().all(|is_later| !is_later));
    open.change(Change::Drain(1), &new, &cluster.rng);
    open.change(Change::Remove(1), &new, &cluster.rng);
    assert_eq!(open.roster.numbers(), [0, 2, 3, 4].map(DiskNo));
    drop(open);

    let error = cluster.refused();
    assert!(
        matches!(&error, IdentityError::ReplacedSince { path, found: 1, .. } if path == "/data/1"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("take it out of the data directories")
    );
    let after = cluster.without(1);
    let found = after.start().unwrap();
    assert_eq!(numbers(&found), [0, 2, 3, 4]);
    assert!(found.disks.iter().all(is_present));
    assert!(formats(&after).iter().all(|is_later| !is_later));
}

#[test]
fn an_added_disk_that_is_not_given_at_the_next_start_is_asked_for_by_name() {
    let mut cluster = Cluster::formatted(3);
    let new = new_directory();
    cluster
        .open()
        .unwrap()
        .change(Change::Add, &new, &cluster.rng);
    let message = cluster.refused().to_string();
    let expected = "disk 3 (place 3, counted from 0, put in at /data/new)";
    assert!(message.contains(expected), "{message}");
    cluster.slots.push(new);
    let found = cluster.start().unwrap();
    assert_eq!(numbers(&found), [0, 1, 2, 3]);
    drop(found);
    // From here on it is a disk like any other: it may be replaced at a start.
    cluster.slots[3] = empty(3);
    assert_eq!(numbers(&cluster.start().unwrap()), [0, 1, 2, 4]);
}

#[test]
fn the_empty_directory_of_a_disk_that_was_replaced_elsewhere_does_not_replace_it_again() {
    let mut cluster = Cluster::formatted(4);
    let new = new_directory();
    let mut open = cluster.open().unwrap();
    open.change(Change::Replace(2), &new, &cluster.rng);
    assert_eq!(open.roster.numbers(), [0, 1, 4, 3].map(DiskNo));
    drop(open);
    cluster.empty_slot(2);
    let error = cluster.refused();
    let expected = IdentityError::PutInElsewhere {
        path: "/data/2".to_owned(),
        given: 2,
        expected: 4,
        joined_at: "/data/new".to_owned(),
    };
    assert_eq!(error, expected);
    cluster.slots[2] = new;
    assert_eq!(numbers(&cluster.start().unwrap()), [0, 1, 4, 3]);
}

#[test]
fn a_removed_disk_that_is_still_given_is_named_whatever_became_of_it() {
    for slot in 0..3 {
        let mut cluster = Cluster::formatted(4);
        let number = u16::try_from(slot).unwrap();
        let mut open = cluster.open().unwrap();
        open.change(Change::Drain(number), &new_directory(), &cluster.rng);
        open.change(Change::Remove(number), &new_directory(), &cluster.rng);
        drop(open);
        cluster.empty_slot(slot);
        let is_surplus = |error: &IdentityError| matches!(error, IdentityError::Surplus { given, .. } if *given == slot);
        let error = cluster.refused();
        assert!(is_surplus(&error), "{error}");
        cluster.break_slot(slot);
        let error = cluster.refused();
        assert!(is_surplus(&error), "{error}");
    }
}

#[test]
fn only_a_directory_that_holds_nothing_is_taken() {
    let cluster = Cluster::formatted(3);
    let other = Cluster {
        rng: SeededRng::new(7),
        ..Cluster::new(2)
    };
    drop(other.start().unwrap());
    let used = new_directory();
    let mut open = cluster.open().unwrap();
    open.change(Change::Add, &used, &cluster.rng);
    open.change(Change::Remove(3), &used, &cluster.rng);
    open.newcomer = None;
    let mut refusal = |directory: &Faulty| {
        let before = directory.inner().files();
        let error = open.propose(Change::Add, directory, &cluster.rng);
        assert_eq!(directory.inner().files(), before);
        open.newcomer = None;
        error.err()
    };
    assert!(matches!(
        refusal(&other.slots[0]),
        Some(IdentityError::OtherCluster { .. })
    ));
    assert!(matches!(
        refusal(&cluster.slots[0]),
        Some(IdentityError::InUse { .. })
    ));
    assert_eq!(refusal(&used), None, "nothing was ever stored there");
    used.create_dir("log").unwrap();
    used.create("log/00000001.seg").unwrap();
    assert!(matches!(
        refusal(&used),
        Some(IdentityError::HoldsData { found: 3, .. })
    ));
    let strange = new_directory();
    strange.create("thesis.doc").unwrap();
    assert!(matches!(
        refusal(&strange),
        Some(IdentityError::NotEmpty { .. })
    ));
}

/// Every change, with a power cut at each sync of each disk: one of the two configurations opens, with the old membership or the new
/// one, and a change that was through is never undone.
#[test]
fn a_change_survives_a_power_cut_at_any_sync() {
    let changes = [
        Change::Add,
        Change::Drain(1),
        Change::Cancel(2),
        Change::Remove(2),
        Change::Replace(2),
    ];
    for change in changes {
        for syncs in 0..4 {
            for stopped in 0..5 {
                let seen = cut_during(change, stopped, syncs);
                assert!(seen, "{change:?}, disk {stopped} after {syncs} syncs");
            }
        }
    }
}

fn cut_during(change: Change, stopped: usize, syncs: u64) -> bool {
    let mut cluster = Cluster::formatted(4);
    let mut open = cluster.open().unwrap();
    open.change(Change::Drain(2), &new_directory(), &cluster.rng);
    let before = open.roster.numbers();
    let mut all = cluster.slots.clone();
    all.push(new_directory());
    all[stopped].stop_after_syncs(syncs);
    let proposal = open.propose(change, &all[4], &cluster.rng).unwrap();
    let through = open.write(&proposal).is_ok();
    if through {
        open.roster.accept(proposal);
    }
    let after = open.roster.numbers();
    drop(open);
    cluster.slots = all;
    cluster.power_cut();
    let all = std::mem::take(&mut cluster.slots);
    let old_config = cluster.of(all[..4].to_vec());
    let new_config = match change {
        Change::Add => cluster.of(all),
        Change::Remove(_) => old_config.without(2),
        Change::Replace(_) => cluster.of(vec![
            all[0].clone(),
            all[1].clone(),
            all[4].clone(),
            all[3].clone(),
        ]),
        Change::Drain(_) | Change::Cancel(_) => cluster.of(all[..4].to_vec()),
    };
    let old_opens = old_config.start();
    if through && after != before {
        assert!(old_opens.is_err(), "{change:?} was undone");
    }
    if let Ok(assembly) = &old_opens {
        let numbers: Vec<DiskNo> = numbers(assembly).into_iter().map(DiskNo).collect();
        assert_eq!(numbers, before);
        assert!(assembly.disks.iter().all(|disk| !disk.replaced));
    }
    let old_opens = old_opens.is_ok();
    match new_config.start() {
        Err(_) => old_opens,
        Ok(assembly) => {
            assert!(assembly.disks.iter().all(is_present));
            if through {
                assert!(assembly.disks.iter().all(|disk| !disk.replaced));
                let found: Vec<DiskNo> = numbers(&assembly).into_iter().map(DiskNo).collect();
                assert_eq!(found, after);
                let draining = |slot: usize| roles(&assembly)[slot] == Role::Draining;
                assert_eq!(draining(1), change == Change::Drain(1));
                let stays = matches!(change, Change::Add | Change::Drain(_));
                assert_eq!(draining(2), stays, "{change:?}");
            }
            true
        }
    }
}

#[test]
fn an_addition_that_was_cut_off_can_be_made_again_with_the_same_directory() {
    for syncs in 0..4 {
        let cluster = Cluster::formatted(2);
        let new = new_directory();
        let mut open = cluster.open().unwrap();
        let proposal = open.propose(Change::Add, &new, &cluster.rng).unwrap();
        cluster.slots[0].stop_after_syncs(0);
        new.stop_after_syncs(syncs);
        assert!(open.write(&proposal).is_err());
        drop(open);
        let mut cluster = cluster;
        cluster.slots.push(new);
        cluster.power_cut();
        let new = cluster.slots.pop().unwrap();
        let mut open = cluster.open().unwrap();
        open.change(Change::Add, &new, &cluster.rng);
        drop(open);
        cluster.slots.push(new);
        let found = cluster.start().unwrap();
        assert!(found.disks.iter().all(is_present), "{syncs}");
        assert_eq!(numbers(&found), [0, 1, 2]);
    }
}

#[test]
fn what_a_change_that_failed_left_on_some_disks_does_not_count_after_the_next() {
    let mut cluster = Cluster::formatted(4);
    let mut open = cluster.open().unwrap();
    let failed = open.roster.without(DiskNo(3));
    let (_, write) = failed.writes().remove(0);
    write().unwrap();
    let restored = open.roster.unchanged();
    open.write(&restored).unwrap();
    open.roster.accept(restored);
    open.change(Change::Drain(0), &new_directory(), &cluster.rng);
    drop(open);
    cluster.power_cut();
    let found = cluster.start().unwrap();
    assert_eq!(numbers(&found), [0, 1, 2, 3]);
    assert_eq!(roles(&found)[0], Role::Draining);
}
