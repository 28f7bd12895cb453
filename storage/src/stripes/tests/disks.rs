//! Disks that come, empty and go while blobs are written and read.

use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::{
    disk::{DiskNo, open_volumes},
    stripes::{Job, Role},
};

/// A pool of the first `count` of six disks; the others wait.
fn pool_of_some(count: usize, profile: Profile, threads: bool) -> (World, Vec<PoolDisk>) {
    let volume = |slot| MemoryVolume::new(format!("memory-{slot}"), 1 << 32);
    let volumes: Vec<_> = (0..6).map(volume).collect();
    let shared = volumes.iter().map(|volume| Arc::new(volume.clone()) as _);
    let rng = SeededRng::new(1);
    let opened = open_volumes(shared.collect(), &OpenOptions::default(), &rng).unwrap();
    let pool = pool_of(opened, profile, threads);
    let all = pool.disks();
    pool.change_disks(|disks| disks.truncate(count));
    (World { pool, volumes }, all[count..].to_vec())
}

fn set_role(pool: &Pool, number: DiskNo, role: Role) {
    pool.change_disks(|disks| {
        let disk = disks.iter_mut().find(|disk| disk.number == number);
        disk.unwrap().role = role;
    });
}

/// The disks that 40 new blobs go to.
fn used(world: &World) -> BTreeSet<u16> {
    let pool = &world.pool;
    let chosen = (0..40).flat_map(|_| pool.choose(pool.profile(), pool.new_blob_id()).unwrap());
    chosen.flatten().map(|disk| disk.number().0).collect()
}

#[test]
fn new_blobs_use_a_disk_from_when_it_is_added_until_it_is_drained() {
    let (world, rest) = pool_of_some(4, profile(2, 2), false);
    assert_eq!(used(&world), BTreeSet::from([0, 1, 2, 3]));
    world.pool.change_disks(|disks| disks.push(rest[0].clone()));
    assert_eq!(used(&world), BTreeSet::from([0, 1, 2, 3, 4]));
    set_role(&world.pool, DiskNo(1), Role::Draining);
    assert_eq!(used(&world), BTreeSet::from([0, 2, 3, 4]));
    set_role(&world.pool, DiskNo(1), Role::Member);
    assert_eq!(used(&world), BTreeSet::from([0, 1, 2, 3, 4]));
}

#[test]
fn a_blob_gets_a_disk_that_is_being_drained_rather_than_none() {
    let (world, _) = pool_of_some(5, profile(2, 2), false);
    set_role(&world.pool, DiskNo(1), Role::Draining);
    world.pool.disk(DiskNo(4)).unwrap().give_up("test");
    for _ in 0..10 {
        let blob = world.pool.new_blob_id();
        let chosen = world.pool.choose(profile(2, 2), blob).unwrap();
        let numbers = chosen.iter().map(|disk| disk.as_ref().unwrap().number().0);
        let numbers: Vec<u16> = numbers.collect();
        assert_eq!(
            BTreeSet::from_iter(numbers.clone()),
            BTreeSet::from([0, 1, 2, 3])
        );
        assert_eq!(numbers[3], 1, "as the last parity shard");
    }
}

#[test]
fn a_blob_under_way_lands_where_it_began_whatever_comes_and_goes() {
    let (world, rest) = pool_of_some(4, profile(2, 2), false);
    let body = body(2_500_000);
    block_on(async {
        let mut writer = BlobWriter::new(&world.pool, profile(2, 2), None).unwrap();
        writer.write(body.slice(..1_200_000)).await.unwrap();
        set_role(&world.pool, DiskNo(2), Role::Draining);
        world
            .pool
            .change_disks(|disks| disks.insert(0, rest[1].clone()));
        writer.write(body.slice(1_200_000..)).await.unwrap();
        let FinishedBlob::Extents(extents) = writer.finish().await.unwrap() else {
            panic!("inline")
        };
        assert_eq!(extents.placement().missing_shards(), 0);
        let on = extents.placement().shards.iter();
        let on: BTreeSet<_> = on.map(|place| place.disk().unwrap().0).collect();
        assert_eq!(on, BTreeSet::from([0, 1, 2, 3]));
        let mut reader =
            BlobReader::open(&world.pool, extents.placement().clone(), 0..2_500_000).unwrap();
        let mut found = reader.next().await.unwrap().unwrap().to_vec();
        world
            .pool
            .change_disks(|disks| disks.retain(|disk| ![0, 3].contains(&disk.number.0)));
        while let Some(bytes) = reader.next().await {
            found.extend_from_slice(&bytes.unwrap());
        }
        assert!(found == body);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_disk_is_told_when_it_leaves() {
    let (world, _) = pool_of_some(4, profile(2, 2), true);
    let (begun, wait_for_begin) = std::sync::mpsc::channel();
    let (release, wait_for_release) = std::sync::mpsc::channel::<()>();
    let hangs: Job<u8> = Box::new(move || {
        begun.send(()).unwrap();
        let _ended = wait_for_release.recv();
        1
    });
    let pool = Arc::clone(&world.pool);
    let jobs: Vec<(DiskNo, Job<u8>)> = vec![
        (DiskNo(1), hangs),
        (DiskNo(1), Box::new(|| 2)),
        (DiskNo(2), Box::new(|| 3)),
    ];
    let work = tokio::spawn(async move { pool.on_disks(1, jobs).await });
    tokio::task::spawn_blocking(move || wait_for_begin.recv().unwrap())
        .await
        .unwrap();
    world
        .pool
        .change_disks(|disks| disks.retain(|disk| disk.number != DiskNo(1)));
    assert_eq!(work.await.unwrap(), [None, None, Some(3)]);
    drop(release);
}

#[test]
fn a_disk_that_is_opened_anew_is_not_silent_for_what_it_was() {
    let (world, rest) = pool_of_some(4, profile(2, 2), false);
    let again = PoolDisk {
        number: DiskNo(2),
        ..rest[0].clone()
    };
    world.pool.disks().post(DiskNo(2)).unwrap().1.be_silent();
    world.pool.change_disks(|_| ());
    assert!(world.pool.is_silent(DiskNo(2)));
    world.pool.change_disks(|disks| disks[2] = again);
    assert!(!world.pool.is_silent(DiskNo(2)));
    world.pool.look_after(Duration::MAX);
}
