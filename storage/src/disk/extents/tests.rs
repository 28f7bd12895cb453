use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn names_survive_parsing(blob: u64, shard_index: u8) {
        let path = extent_path(BlobId(blob), shard_index);
        let parts: Vec<_> = path.split('/').collect();
        prop_assert_eq!(parse_extent_name(parts[1], parts[2]), Some((BlobId(blob), shard_index)));
        let wrong = format!("{:02x}", fan_out(BlobId(blob)) ^ 1);
        prop_assert_eq!(parse_extent_name(&wrong, parts[2]), None);
    }

    #[test]
    fn other_names_are_no_extents(name: String) {
        prop_assert_eq!(parse_extent_name("00", &name), None);
    }
}

#[test]
fn names_in_other_spellings_are_no_extents() {
    for name in [
        "000000000000000A.00",
        "0.0",
        "+000000000000001.00",
        "0000000000000001.+1",
        "0000000000000001",
    ] {
        assert_eq!(parse_extent_name("00", name), None, "{name}");
    }
}

#[test]
fn those_who_ask_while_a_sync_runs_share_the_next_one() {
    let shared = SharedSync::default();
    let syncs = AtomicU64::new(0);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    std::thread::scope(|scope| {
        let waiting = || {
            shared.sync(|| {
                if syncs.fetch_add(1, Ordering::SeqCst) == 0 {
                    held.lock().recv().unwrap();
                }
                Ok(())
            })
        };
        let first = scope.spawn(waiting);
        while syncs.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let others: Vec<_> = (0..8).map(|_| scope.spawn(waiting)).collect();
        release.send(()).unwrap();
        first.join().unwrap().unwrap();
        for other in others {
            other.join().unwrap().unwrap();
        }
    });
    let syncs = syncs.load(Ordering::SeqCst);
    assert!((2..=9).contains(&syncs), "{syncs}");
}

#[test]
fn a_failed_sync_is_told_to_all() {
    let shared = SharedSync::default();
    assert_eq!(shared.sync(|| Err(DiskError::Full)), Err(DiskError::Full));
    assert_eq!(
        shared.sync(|| Ok(())),
        Err(DiskError::Full),
        "after a failure nothing is proved"
    );
}
