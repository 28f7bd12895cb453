//! Blobs on disks of which one stops answering.

use std::time::Duration;

use super::*;
use crate::disk::{
    Volume,
    fault::{FaultVolume, Hang},
    open_volumes,
};

struct Faulty {
    world: World,
    faults: Vec<FaultVolume<MemoryVolume>>,
}

fn faulty() -> Faulty {
    let volume = |slot| MemoryVolume::new(format!("memory-{slot}"), 1 << 32);
    let volumes: Vec<_> = (0..4).map(volume).collect();
    let faults: Vec<_> = volumes.iter().cloned().map(FaultVolume::new).collect();
    let shared = faults
        .iter()
        .map(|volume| Arc::new(volume.clone()) as Arc<dyn Volume>);
    let opened = open_volumes(
        shared.collect(),
        &OpenOptions::default(),
        &SeededRng::new(1),
    )
    .unwrap();
    let pool = pool_of(opened, profile(2, 2), true);
    Faulty {
        world: World { pool, volumes },
        faults,
    }
}

impl Faulty {
    /// Gives the disks in `slots` up once they hang and nothing is under way on the others.
    async fn give_up(&self, slots: &[usize], hangs: &[Hang]) {
        for hang in hangs {
            let hang = hang.clone();
            tokio::task::spawn_blocking(move || hang.wait_for(1))
                .await
                .unwrap();
        }
        let disks = self.world.pool.disks();
        let others = disks.iter().filter(|disk| !slots.contains(&disk.slot));
        for disk in others {
            while disk.disk.as_ref().unwrap().stalled_for().is_some() {
                tokio::task::yield_now().await;
            }
        }
        self.world.pool.look_after(Duration::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_write_goes_on_without_a_disk_that_hangs_at_any_point() {
    for (slot, batches) in [(0, 0), (1, 1), (2, 3), (3, 0)] {
        let faulty = Arc::new(faulty());
        let body = body(2_500_000);
        let mut writer =
            BlobWriter::new(&faulty.world.pool, profile(2, 2), Some(body.len() as u64)).unwrap();
        let (before, after) = (
            body.slice(..batches * 600_000),
            body.slice(batches * 600_000..),
        );
        writer.write(before).await.unwrap();
        let hang = faulty.faults[slot].hang();
        let write = tokio::spawn(async move {
            writer.write(after).await?;
            writer.finish().await
        });
        faulty.give_up(&[slot], std::slice::from_ref(&hang)).await;
        let Ok(FinishedBlob::Extents(extents)) = write.await.unwrap() else {
            panic!("slot {slot}: not written")
        };
        assert_eq!(extents.placement().missing_shards(), 1);
        let found = read(&faulty.world, extents.placement(), 0..body.len() as u64).await;
        assert!(found.unwrap() == body, "slot {slot}");
        hang.release();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_too_few_disks_left_is_refused_at_once() {
    let faulty = Arc::new(faulty());
    let body = body(2_500_000);
    let mut writer = BlobWriter::new(&faulty.world.pool, profile(2, 2), None).unwrap();
    let hangs = [faulty.faults[0].hang(), faulty.faults[1].hang()];
    let write = tokio::spawn(async move {
        writer.write(body).await?;
        writer.finish().await.map(|_| ())
    });

    give_up_until(&faulty, &[0, 1], &write).await;
    let result = write.await.unwrap();
    assert!(
        matches!(result, Err(StripeError::TooFewDisks { needed: 3, .. })),
        "{result:?}"
    );
    hangs.iter().for_each(Hang::release);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_round_a_disk_that_is_given_up_and_later_ones_never_ask_it() {
    let faulty = Arc::new(faulty());
    let body = body(2_500_000);
    let placement = write_extents(&faulty.world, &body).await;
    faulty
        .world
        .volumes
        .iter()
        .for_each(|volume| volume.set_cached(false));
    let slot = usize::from(placement.shards[0].disk().unwrap().0);
    let slot = faulty
        .world
        .pool
        .disks()
        .iter()
        .position(|disk| usize::from(disk.number.0) == slot)
        .unwrap();
    let mut reader =
        BlobReader::open(&faulty.world.pool, placement.clone(), 0..body.len() as u64).unwrap();
    let hang = faulty.faults[slot].hang();
    let reading = tokio::spawn(async move {
        let mut found = Vec::new();
        while let Some(bytes) = reader.next().await {
            found.extend_from_slice(&bytes.unwrap());
        }
        found
    });
    faulty.give_up(&[slot], std::slice::from_ref(&hang)).await;
    assert!(reading.await.unwrap() == body);
    let found = read(&faulty.world, &placement, 0..body.len() as u64).await;
    assert!(found.unwrap() == body, "without anybody giving anything up");
    hang.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_and_closing_end_when_the_disk_is_given_up() {
    let faulty = Arc::new(faulty());
    let placement = write_extents(&faulty.world, &body(1_000_000)).await;
    let hang = faulty.faults[2].hang();
    let removing = {
        let (faulty, placement) = (Arc::clone(&faulty), placement.clone());
        tokio::spawn(async move { faulty.world.pool.remove_blob(&placement).await })
    };
    faulty.give_up(&[2], std::slice::from_ref(&hang)).await;
    removing.await.unwrap();
    faulty.world.pool.close().await;
    hang.release();
    let left = |volume: &MemoryVolume| volume.files().keys().any(|path| path.contains("extents/"));
    // The removal under way comes late, on a thread of its own that nobody waits for.
    let gone = async {
        while faulty.world.volumes.iter().any(left) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap();
}

/// Gives up whatever hangs until `task` has ended: it meets one hanging disk only after it has left the other behind.
async fn give_up_until<T>(faulty: &Faulty, hanging: &[usize], task: &tokio::task::JoinHandle<T>) {
    while !task.is_finished() {
        let disks = faulty.world.pool.disks();
        let busy = disks
            .iter()
            .filter(|disk| disk.disk.as_ref().unwrap().stalled_for().is_some());
        let busy: Vec<usize> = busy.map(|disk| disk.slot).collect();
        if busy.iter().all(|slot| hanging.contains(slot)) {
            faulty.world.pool.look_after(Duration::ZERO);
        }
        tokio::task::yield_now().await;
    }
}
