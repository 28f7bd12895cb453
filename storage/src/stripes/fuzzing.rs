//! Body of the fuzz target for placements and shards: see [`crate::fuzzing`].

use super::{
    BLOCK_CHECKSUM_BYTES, BlobPlacement, UNIT_BYTES,
    block::{BLOCK_STRIDE, checksum},
    verify_shard,
};
use crate::fuzzing::settles;

/// Shards longer than this are not made.
const MADE_BYTES: u64 = 200_000;

/// A placement, and after it a change to the shard that is made for it.
pub(crate) fn shards(input: &[u8]) -> usize {
    let decodes = settles(input, |bytes| {
        let (placement, _) = BlobPlacement::decode(bytes).ok()?;
        let mut out = Vec::new();
        placement.encode_into(&mut out);
        Some(out)
    });
    if let Ok((placement, used)) = BlobPlacement::decode(input) {
        let rest = input.get(used..).unwrap_or_default();
        assert!(placement.missing_shards() <= placement.shards.len());
        check_geometry(&placement);
        assert!(!verify_shard(rest, placement.layout(), placement.blob, 0) || rest.len() > 8);
        check_damage(&placement, rest);
    }
    decodes
}

fn check_geometry(placement: &BlobPlacement) {
    let layout = placement.layout();
    let stripes = layout.stripes();
    assert!(stripes > 0 && layout.unit_bytes(stripes - 1) <= UNIT_BYTES);
    let bytes = layout.shard_bytes();
    assert!(bytes > (stripes - 1) * BLOCK_STRIDE && bytes <= stripes * BLOCK_STRIDE);
    assert_eq!(layout.stripes_of(&(0..placement.size)), 0..stripes);
    let last = layout.overlap(stripes - 1, 0, &(0..placement.size));
    assert!(last.end <= UNIT_BYTES);
}

/// A well-made shard is good; with a byte changed or cut off it is not.
fn check_damage(placement: &BlobPlacement, change: &[u8]) {
    let layout = placement.layout();
    let Some([low, high, with]) = change.first_chunk::<3>() else {
        return;
    };
    if layout.shard_bytes() > MADE_BYTES {
        return;
    }
    let mut shard = Vec::new();
    for stripe in 0..layout.stripes() {
        let unit = vec![*with; layout.unit_bytes(stripe)];
        let sum = checksum(&unit, placement.blob, 0, stripe);
        shard.extend_from_slice(&unit);
        shard.extend_from_slice(&sum.to_le_bytes());
    }
    assert_eq!(shard.len() as u64, layout.shard_bytes());
    let good = |shard: &[u8], index| verify_shard(shard, layout, placement.blob, index);
    assert!(good(&shard, 0) && !good(&shard, 1), "of this shard alone");
    assert!(!good(&shard[..shard.len() - BLOCK_CHECKSUM_BYTES], 0));
    let at = usize::from(u16::from_le_bytes([*low, *high])) % shard.len();
    shard[at] ^= *with;
    assert_eq!(good(&shard, 0), *with == 0, "byte {at}");
}
