//! Blobs to shards and back.
//!
//! A *blob* is the body of an object or a part: one run of bytes, coded with one profile, stored as `k+m` shards. It is cut
//! into stripes of `k` units of [`UNIT_BYTES`]; the last stripe has shorter units (`ceil(rest / k)`, zero-padded).
//! Each unit of each shard is a *block*: its bytes and a checksum that also covers which blob, shard and stripe it is.
//! Blobs up to [`INLINE_MAX_BYTES`] travel in the log with their commit; larger ones are extents.
