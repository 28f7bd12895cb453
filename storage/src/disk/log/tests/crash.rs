//! Stop at every sync, keep any part of what was not synced, start again.

use super::*;

type Faulty = FaultVolume<MemoryVolume>;

/// What a run was told, and what it tried.
#[derive(Default)]
struct Ledger {
    tried: BTreeMap<Address, Vec<u8>>,
    acknowledged: Vec<Address>,
    extents: Vec<(BlobId, Vec<u8>)>,
    floor: Seq,
    removed: Vec<u32>,
}

/// Appends batches of frames that roll over segments, writes extents, removes segments, moves the floor; until the power goes.
fn work(disk: &LogDisk, ledger: &mut Ledger, rng: &dyn Rng) -> Result<(), DiskError> {
    for round in 0..6_u64 {
        let outcomes = Outcomes::default();
        let mut batch = BTreeMap::new();
        for n in 0..=rng.next_u64() % 6 {
            let meta = [round.to_le_bytes(), rng.next_u64().to_le_bytes()].concat();
            let shard = vec![7; usize::try_from(rng.next_u64() % 60_000).unwrap()];
            let address = disk.append(&commit(round, &meta, &shard), outcomes.expect(n))?;
            ledger.tried.insert(address, meta);
            batch.insert(n, address);
        }
        disk.flush_once();
        let told = outcomes.so_far();
        assert_eq!(told.len(), batch.len(), "everybody is told");
        let good = told.iter().filter(|(_, result)| result.is_ok());
        ledger.acknowledged.extend(good.map(|(tag, _)| batch[tag]));
        disk.status.check()?;
        upkeep(disk, ledger, round)?;
    }
    Ok(())
}

fn upkeep(disk: &LogDisk, ledger: &mut Ledger, round: u64) -> Result<(), DiskError> {
    let blob = BlobId(round * 300);
    let bytes = vec![u8::try_from(round).unwrap(); 2000];
    let mut writer = disk.create_extent(blob, 1)?;
    writer.append(&bytes)?;
    writer.finish()?;
    ledger.extents.push((blob, bytes));
    disk.set_trim_floor(Seq(round))?;
    ledger.floor = Seq(round);
    if round == 4 {
        let sealed: Vec<_> = disk.segments()?.into_iter().filter(|s| !s.active).collect();
        for segment in sealed.into_iter().take(1) {
            ledger
                .acknowledged
                .retain(|address| address.segment != segment.number);
            disk.remove_segment(segment.number)?;
            ledger.removed.push(segment.number);
        }
    }
    Ok(())
}

fn verify(volume: &MemoryVolume, ledger: &Ledger) {
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    let mut found = BTreeMap::new();
    let mut order = Vec::new();
    for segment in disk.segments().unwrap() {
        assert!(
            !ledger.removed.contains(&segment.number),
            "segment {} came back",
            segment.number
        );
        let mut visit = |frame: ScannedFrame| {
            order.push(frame.address);
            found.insert(frame.address, frame.meta.to_vec());
        };
        disk.scan(segment.number, 0, &mut visit).unwrap();
    }
    assert!(order.is_sorted());
    for (address, meta) in &found {
        assert_eq!(
            ledger.tried.get(address),
            Some(meta),
            "a frame that was never written"
        );
    }
    for address in &ledger.acknowledged {
        assert!(
            found.contains_key(address),
            "{address:?} was acknowledged and is lost"
        );
    }
    for (blob, bytes) in &ledger.extents {
        let mut read = vec![0; bytes.len()];
        let extent = disk.open_extent(*blob, 1).unwrap();
        extent
            .read_exact_at(&mut read, 0, ReadMode::MayBlock)
            .unwrap();
        assert_eq!(read, *bytes);
    }
    assert!(disk.trim_floor() >= ledger.floor);
    let next = disk.append(&commit(99, b"after", b"crash"), None).unwrap();
    let highest_acknowledged = ledger
        .acknowledged
        .iter()
        .map(|a| a.segment)
        .max()
        .unwrap_or(0);
    assert!(next.segment > highest_acknowledged);
    disk.flush_once();
    disk.status.check().unwrap();
}

fn run(seed: u64, inject: impl FnOnce(&Faulty)) -> u64 {
    let rng = SeededRng::new(seed);
    let volume = FaultVolume::new(memory());
    // Opened before the fault: making the directories has a test of its own.
    let disk = LogDisk::manual(&config(volume.clone())).unwrap();
    let before = volume.syncs();
    inject(&volume);
    let mut ledger = Ledger::default();
    // An error only says that the fault was met.
    let _met = work(&disk, &mut ledger, &rng);
    let syncs = volume.syncs() - before;
    for _ in 0..3 {
        verify(&volume.inner().crash(&rng), &ledger);
    }
    syncs
}

#[test]
fn acknowledged_survives_a_power_cut_at_any_sync() {
    for seed in 0..12 {
        let syncs = run(seed, |_| ());
        assert!(syncs > 20);
        for n in 0..syncs {
            run(seed, |volume| volume.stop_after_syncs(n));
        }
    }
}

#[test]
fn acknowledged_survives_a_torn_write_anywhere() {
    for after in 0..12 {
        for keep_bytes in [0, 1, 63, 64, 65, 100, 512, 40_000] {
            let effect = Effect::TornWrite { keep_bytes };
            let fault = Fault {
                operation: Operation::Write,
                path: ".seg",
                after,
                times: 1,
                effect,
            };
            run(after, |volume| volume.inject(fault));
        }
    }
}

#[test]
fn a_power_cut_while_opening_leaves_a_disk_that_opens() {
    let rng = SeededRng::new(1);
    for n in 0..3 {
        let volume = FaultVolume::new(memory());
        volume.stop_after_syncs(n);
        let opened = LogDisk::manual(&config(volume.clone()));
        assert_eq!(opened.is_ok(), n == 2, "two directories, one sync each");
        let after = volume.inner().crash(&rng);
        drop(LogDisk::manual(&config(after)).unwrap());
    }
}
