//! Body of the fuzz target for the engine's own bytes: see [`crate::fuzzing`].

use bytes::Bytes;

use super::{
    body::{CheckpointBody, EpochBody, ViewValue, decode_commit, encode_commit},
    checkpoint::CheckpointState,
    space::{SegmentSpace, inline_placement},
};
use crate::fuzzing::settles;

/// Takes the input for each of them.
pub(crate) fn metadata(input: &[u8]) -> usize {
    let space = SegmentSpace::default();
    if let Some(value) = ViewValue::decode(&Bytes::copy_from_slice(input)) {
        let _ = value
            .value
            .and_then(|bytes| inline_placement(&bytes, value.placement_bytes));
    }
    space.bury(b"key", &Bytes::copy_from_slice(input));
    let _ = ViewValue::peek(input);
    settles(input, |bytes| {
        let body = decode_commit(&Bytes::copy_from_slice(bytes))?;
        Some(encode_commit(body.placement_bytes, &body.changes))
    }) + settles(input, |bytes| Some(EpochBody::decode(bytes)?.encode()))
        + settles(input, |bytes| Some(CheckpointBody::decode(bytes)?.encode()))
        + settles(input, |bytes| {
            let value = ViewValue::decode(&Bytes::copy_from_slice(bytes))?;
            Some(value.encode().into())
        })
        + settles(input, |bytes| {
            let state = CheckpointState::decode(&Bytes::copy_from_slice(bytes))?;
            Some(state.encode().into())
        })
}
