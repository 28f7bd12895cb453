//! Blobs on disks in memory: what is written is read back, whatever is lost within the profile's bounds.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use larder_erasure::Profile;
use proptest::prelude::*;

use super::{
    BlobPlacement, BlobReader, BlobWriter, FinishedBlob, INLINE_MAX_BYTES, Pool, PoolDisk,
    PoolOptions, StripeError,
};
use crate::{
    disk::{MemoryVolume, OpenOptions, Opened, extent_path, memory},
    rng::{Rng, SeededRng},
};

mod disks;
mod hang;

struct World {
    pool: Arc<Pool>,
    volumes: Vec<MemoryVolume>,
}

fn world(profile: Profile, count: usize) -> World {
    let (volumes, opened) =
        memory(count, 1 << 32, &OpenOptions::default(), &SeededRng::new(1)).unwrap();
    let pool = pool_of(opened, profile, false);
    World { pool, volumes }
}

fn pool_of(opened: Opened, profile: Profile, blocking_threads: bool) -> Arc<Pool> {
    let disks = opened.disks.into_iter().map(PoolDisk::from);
    let options = PoolOptions {
        profile,
        blocking_threads,
    };
    Pool::new(disks.collect(), options)
}

fn body(size: usize) -> Bytes {
    let rng = SeededRng::new(size as u64);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

async fn write(world: &World, body: &Bytes, announced: bool, piece: usize) -> FinishedBlob {
    let size = announced.then_some(body.len() as u64);
    let mut writer = BlobWriter::new(&world.pool, world.pool.profile(), size).unwrap();
    for start in (0..body.len()).step_by(piece) {
        writer
            .write(body.slice(start..body.len().min(start + piece)))
            .await
            .unwrap();
    }
    writer.finish().await.unwrap()
}

async fn write_extents(world: &World, body: &Bytes) -> BlobPlacement {
    let FinishedBlob::Extents(extents) = write(world, body, true, 100_000).await else {
        panic!("inline")
    };
    let placement = extents.placement().clone();
    extents.keep();
    placement
}

async fn read(
    world: &World,
    placement: &BlobPlacement,
    range: Range<u64>,
) -> Result<Vec<u8>, StripeError> {
    let mut reader = BlobReader::open(&world.pool, placement.clone(), range).unwrap();
    let mut out = Vec::new();
    while let Some(bytes) = reader.next().await {
        out.extend_from_slice(&bytes?);
    }
    Ok(out)
}

fn profile(data: u8, parity: u8) -> Profile {
    Profile::new(data, parity).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_range_reads_back_with_any_two_shards_gone(
        size in 600_000..2_500_000_usize, from in 0.0..1.0_f64, to in 0.0..1.0_f64, gone in prop::sample::subsequence(vec![0_usize, 1, 2, 3, 4], 2), rot: bool,
    ) {
        let world = world(profile(3, 2), 5);
        let body = body(size);
        block_on(async {
            let placement = write_extents(&world, &body).await;
            for shard in gone {
                damage(&world, &placement, shard, rot);
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in the body")]
            let at = |share: f64| (share * size as f64) as usize;
            let range = at(from.min(to))..at(from.max(to));
            let found = read(&world, &placement, range.start as u64..range.end as u64).await.unwrap();
            assert_eq!(found, &body[range]);
        });
    }
}

/// Removes a shard's extent, or flips a bit in each of its blocks.
fn damage(world: &World, placement: &BlobPlacement, shard: usize, rot: bool) {
    let number = placement.shards[shard].disk().unwrap();
    let slot = world
        .pool
        .disks()
        .iter()
        .position(|disk| disk.number == number)
        .unwrap();
    let index = u8::try_from(shard).unwrap();
    if rot {
        let path = extent_path(placement.blob, index);
        world.volumes[slot]
            .tamper(&path, |bytes| {
                bytes.iter_mut().step_by(50_000).for_each(|byte| *byte ^= 4);
            })
            .unwrap();
    } else {
        world
            .pool
            .disk(number)
            .unwrap()
            .remove_extent(placement.blob, index)
            .unwrap();
    }
}

#[test]
fn with_more_shards_gone_than_parity_the_read_fails_and_sends_nothing_wrong() {
    let world = world(profile(2, 2), 4);
    let body = body(1_000_000);
    block_on(async {
        let placement = write_extents(&world, &body).await;
        for shard in 0..3 {
            damage(&world, &placement, shard, true);
        }
        let size = placement.size;
        let error = read(&world, &placement, 0..size).await.unwrap_err();
        assert!(
            matches!(
                error,
                StripeError::Unreadable {
                    good: 1,
                    needed: 2,
                    ..
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn what_disks_that_are_away_may_have_is_not_called_lost() {
    let world = world(profile(2, 2), 4);
    let body = body(1_000_000);
    block_on(async {
        let placement = write_extents(&world, &body).await;
        let take_away = |count: usize| {
            world.pool.change_disks(|disks| {
                for disk in disks.iter_mut().take(count) {
                    disk.disk = Err("out".to_owned());
                }
            });
        };
        take_away(3);
        let error = read(&world, &placement, 0..placement.size).await;
        let error = error.unwrap_err();
        let is_away = matches!(
            error,
            StripeError::DisksAway {
                good: 1,
                needed: 2,
                away: 3,
                ..
            }
        );
        assert!(is_away, "{error}");
    });
}

#[test]
fn small_blobs_are_inline_with_or_without_an_announced_size() {
    let world = world(profile(2, 2), 4);
    block_on(async {
        for size in [1, 2, 3, 4096, 65_536, 131_072, 131_073, 300_000, 524_288] {
            let body = body(size);
            let mut forms = Vec::new();
            for (announced, piece) in [(true, 7_001), (false, 7_001), (false, 1 << 20)] {
                let FinishedBlob::Inline(blob) = write(&world, &body, announced, piece).await
                else {
                    panic!("{size} bytes are not inline")
                };
                assert_eq!(blob.size, size as u64);
                let layout = super::Layout::new(blob.size, blob.profile);
                for (index, (_, shard)) in blob.shards.iter().enumerate() {
                    let index = u8::try_from(index).unwrap();
                    assert!(
                        super::verify_shard(shard, layout, blob.blob, index),
                        "{size} shard {index}"
                    );
                }
                let lengths: Vec<_> = blob.shards.iter().map(|(_, shard)| shard.len()).collect();
                forms.push(lengths);
            }
            assert!(forms.windows(2).all(|pair| pair[0] == pair[1]), "{forms:?}");
        }
        assert!(matches!(
            write(&world, &Bytes::new(), false, 1).await,
            FinishedBlob::Empty
        ));
        let large = write(
            &world,
            &body(usize::try_from(INLINE_MAX_BYTES).unwrap() + 1),
            false,
            9_999,
        )
        .await;
        assert!(matches!(large, FinishedBlob::Extents(_)));
    });
}

#[test]
fn a_body_of_another_length_than_announced_is_refused() {
    let world = world(profile(2, 2), 4);
    block_on(async {
        for got in [999, 1001] {
            let mut writer =
                BlobWriter::new(&world.pool, world.pool.profile(), Some(1000)).unwrap();
            let written = writer.write(body(got)).await;
            let result = if written.is_err() {
                written
            } else {
                writer.finish().await.map(|_| ())
            };
            assert!(matches!(
                result,
                Err(StripeError::LengthMismatch {
                    expected_bytes: 1000,
                    ..
                })
            ));
        }
    });
}

#[test]
fn a_dropped_writer_or_blob_leaves_no_extents() {
    let world = world(profile(2, 2), 4);
    let extents = || -> usize {
        let disks = world.pool.disks();
        disks
            .iter()
            .map(|disk| disk.disk.as_ref().unwrap().extents().unwrap().len())
            .sum()
    };
    block_on(async {
        let mut writer = BlobWriter::new(&world.pool, world.pool.profile(), None).unwrap();
        for _ in 0..3 {
            writer.write(body(700_000)).await.unwrap();
        }
        drop(writer);
        tokio::task::yield_now().await;
        assert_eq!(extents(), 0);
        drop(write(&world, &body(2_000_000), true, 300_000).await);
        assert_eq!(extents(), 0);
        write_extents(&world, &body(2_000_000)).await;
        assert_eq!(extents(), 4);
    });
}

#[test]
fn a_range_of_64_kib_of_64_mib_reads_at_most_256_kib() {
    let world = world(profile(2, 2), 4);
    let body = body(64 << 20);
    block_on(async {
        let placement = write_extents(&world, &body).await;
        for start in [0_u64, 1, 100_000, 12_345_678, (64 << 20) - 65_536] {
            let before = world.pool.read_bytes();
            let found = read(&world, &placement, start..start + 65_536)
                .await
                .unwrap();
            let from = usize::try_from(start).unwrap();
            assert_eq!(found, &body[from..from + 65_536]);
            let bytes = world.pool.read_bytes() - before;
            assert!(bytes <= 256 << 10, "{bytes} bytes were read");
        }
    });
}

#[test]
fn with_a_disk_gone_blobs_are_written_with_a_missing_shard_and_with_two_refused() {
    let world = world(profile(2, 2), 4);
    let body = body(900_000);
    block_on(async {
        world.pool.disks()[2].disk.as_ref().unwrap().close();
        let placement = write_extents(&world, &body).await;
        assert!(placement.missing_shards() <= 1);
        let size = placement.size;
        assert_eq!(read(&world, &placement, 0..size).await.unwrap(), body);
    });
}
