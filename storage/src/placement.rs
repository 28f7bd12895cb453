//! Which disks hold which shards. Pure: no I/O, no clock.

/// Chooses disks for `shards` shards among `good` (by slot), starting at a place that `spread` determines, so that load
/// and parity are even over the disks. Each disk gets at most one shard. `None` where no good disk is left: the
/// shards without a disk are the last ones of the rotation among parity first, so that reads find data shards.
pub fn choose(good: &[bool], shards: usize, spread: u64) -> Vec<Option<usize>> {
    let count = good.len();
    if count == 0 {
        return vec![None; shards];
    }
    let start = usize::try_from(spread % count as u64).unwrap_or(0);
    let mut slots = (0..count)
        .map(|step| (start + step) % count)
        .filter(|slot| good[*slot]);
    (0..shards).map(|_| slots.next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_disk_is_chosen_twice_and_bad_ones_never() {
        for mask in 0..64_u32 {
            let good: Vec<bool> = (0..6).map(|slot| mask >> slot & 1 == 1).collect();
            for spread in 0..12 {
                let chosen = choose(&good, 4, spread);
                let mut slots: Vec<_> = chosen.iter().flatten().copied().collect();
                assert_eq!(slots.len(), good.iter().filter(|g| **g).count().min(4));
                assert!(slots.iter().all(|slot| good[*slot]));
                slots.sort_unstable();
                slots.dedup();
                assert_eq!(slots.len(), chosen.iter().flatten().count());
            }
        }
    }

    #[test]
    fn each_disk_is_first_equally_often() {
        let firsts: Vec<_> = (0..8)
            .map(|spread| choose(&[true; 4], 4, spread)[0])
            .collect();
        for slot in 0..4 {
            assert_eq!(
                firsts.iter().filter(|first| **first == Some(slot)).count(),
                2
            );
        }
    }

    #[test]
    fn with_a_disk_missing_the_last_parity_goes_without() {
        assert_eq!(
            choose(&[true, false, true, true], 4, 0),
            [Some(0), Some(2), Some(3), None]
        );
    }
}
