//! The key spaces, one byte each, shared by all engines. Ordered so that a prefix scan lists what belongs together.
//!
//! | first byte | rest | value |
//! |---|---|---|
//! | `a` | `i` and account id (u64, big endian), or `k` and access key | account, or whose access key it is |
//! | `i` | account id (u64, big endian), kind, name | identity of an account |
//! | `b` | bucket name | bucket |
//! | `o` | bucket id (u64, big endian), object key | an object, or which of its versions is the latest |
//! | `v` | bucket id, object key, `00 00` or `00 01` and a number | version of an object that has versions |
//! | `u` | bucket id, object key, `00 01`, upload id | multipart upload |
//! | `p` | upload id, part number (u16, big endian) | part |
//! | `d` | bucket id, number, page (u16, big endian) | page of a document of a bucket |
//! | `g` | id | garbage task |
//! | `n` | queue (u64, big endian), number (u64, big endian) | event that waits to be told |
//! | `h` | another key | that key's object lacks shards: to heal |
//! | `s` | a name | what upkeep remembers over restarts |

use bytes::Bytes;

/// First byte of the keys of degraded objects.
pub const HEAL: u8 = b'h';

/// Value of an entry of damage that the record does not tell of; of others it is empty.
pub(crate) const UNTOLD: &[u8] = &[1];

/// What healing remembers.
pub(crate) const HEAL_STATE: &[u8] = b"sheal";

/// The key under which `key`'s object is queued for healing.
pub fn heal_key(key: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(HEAL);
    out.extend_from_slice(key);
    out.into()
}
