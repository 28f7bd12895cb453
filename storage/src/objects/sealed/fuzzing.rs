//! Chunks of encrypted bodies on bytes from anywhere.

use bytes::BytesMut;

use super::{
    BlobKey, DATA_KEY_BYTES, DataKey, SALT_BYTES, Salt,
    chunk::{Place, chunks, sealed_bytes},
};

/// Two bytes say which chunk and where it is changed; what follows is its plain text, and a chunk as somebody else might have put it there. Nothing opens but
/// what was sealed, whole, in its place.
///
/// # Panics
/// If something else does, or the lengths of bodies do not go together.
pub(crate) fn sealed(input: &[u8]) -> usize {
    let Some((&[which, change], plain)) = input.split_first_chunk::<2>() else {
        return 0;
    };
    let data = DataKey::new(&[7; DATA_KEY_BYTES]);
    let Some(key) = BlobKey::derive(&data, &Salt([3; SALT_BYTES]), 1) else {
        return 0;
    };
    let place = Place {
        number: u64::from(which >> 1),
        is_last: which & 1 == 1,
    };
    let opens = |place, bytes: &[u8]| {
        let mut chunk = BytesMut::from(bytes);
        key.open(place, &mut chunk).ok().map(|()| chunk)
    };
    assert_eq!(opens(place, plain), None, "nobody sealed this");
    let mut chunk = BytesMut::from(plain);
    if key.seal(place, &mut chunk).is_err() {
        return 0;
    }
    assert_eq!(opens(place, &chunk).as_deref(), Some(plain));
    let at = usize::from(change) % chunk.len();
    let mut changed = chunk.clone();
    changed[at] ^= 1 << (change % 8);
    assert_eq!(opens(place, &changed), None, "changed at {at}");
    assert_eq!(opens(place, &chunk[..at]), None, "cut off at {at}");
    let other = Place {
        number: place.number ^ (1 << (change % 64)),
        ..place
    };
    let end = Place {
        is_last: !place.is_last,
        ..place
    };
    assert_eq!(
        (opens(other, &chunk), opens(end, &chunk)),
        (None, None),
        "moved"
    );
    let size = plain
        .iter()
        .fold(0_u64, |size, byte| size << 8 | u64::from(*byte))
        >> 8;
    assert!(sealed_bytes(size) - size == 16 * chunks(size), "{size}");
    1
}
