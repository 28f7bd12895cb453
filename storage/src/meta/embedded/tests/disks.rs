//! Commits while disks come, empty and go.

use std::collections::BTreeSet;

use super::*;
use crate::{disk::DiskNo, stripes::Role};

fn set_role(running: &Running, number: u16, role: Role) {
    running.pool.change_disks(|disks| {
        let disk = disks.iter_mut().find(|disk| disk.number.0 == number);
        disk.unwrap().role = role;
    });
}

/// The disks that have copies of the record of `key`.
fn homes(running: &Running, key: &str) -> BTreeSet<u16> {
    let bytes = running
        .engine
        .view
        .current()
        .unwrap()
        .get(key.as_bytes())
        .unwrap()
        .unwrap();
    let homes = ViewValue::decode(&bytes).unwrap().homes;
    homes.iter().map(|(disk, _)| disk.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_being_drained_gets_no_record_while_the_others_suffice() {
    let world = World::new(1);
    let running = world.open().await;
    set_role(&running, 2, Role::Draining);
    let mut used = BTreeSet::new();
    for id in 0..20 {
        let key = format!("k{id}");
        running.put(&key, "value").await.unwrap();
        let homes = homes(&running, &key);
        assert_eq!(homes.len(), 3, "copies on m+1 disks");
        used.extend(homes);
    }
    assert_eq!(used, BTreeSet::from([0, 1, 3]));
    running.pool.disk(DiskNo(0)).unwrap().give_up("test");
    running.put("last", "value").await.unwrap();
    assert_eq!(homes(&running, "last"), BTreeSet::from([1, 2, 3]));
    running.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_forgets_a_disk_that_left_and_its_log_is_looked_for_no_more() {
    let world = World::new(2);
    let running = world.open().await;
    running.put("before", "value").await.unwrap();
    running.engine.checkpoint().await.unwrap();
    assert!(running.engine.positions.lock().contains_key(&DiskNo(3)));
    let gone = running.pool.disk(DiskNo(3)).unwrap();
    running
        .pool
        .change_disks(|disks| disks.retain(|disk| disk.number.0 != 3));
    running.put("after", "value").await.unwrap();
    running.engine.checkpoint().await.unwrap();
    assert!(!running.engine.positions.lock().contains_key(&DiskNo(3)));
    assert_eq!(homes(&running, "after"), BTreeSet::from([0, 1, 2]));
    running.close();
    gone.close();
}
