//! What a batch may hold, checked the same way for every engine.
//!
//! Engines differ in what they refuse (fjall stops the process on an empty key), so the limits are narrower
//! than those of any engine, and are checked before a batch reaches one.

use super::{ViewChange, ViewError};

/// Bytes of the longest key: twice what the metadata layer allows, so that the view's user may add a prefix.
pub const MAX_VIEW_KEY_BYTES: usize = 4 << 10;
/// Bytes of the largest value: twice what the metadata layer allows, so that the view's user may add a header.
pub const MAX_VIEW_VALUE_BYTES: usize = 128 << 10;

/// Refuses the whole batch if one of its changes is outside the limits.
pub(super) fn check(changes: &[ViewChange]) -> Result<(), ViewError> {
    changes.iter().try_for_each(|change| {
        check_key(change.key.len())?;
        check_value(change.value.as_ref().map_or(0, bytes::Bytes::len))
    })
}

/// Refuses an entry outside the limits.
pub(super) fn check_entry(key: &[u8], value: &[u8]) -> Result<(), ViewError> {
    check_key(key.len())?;
    check_value(value.len())
}

fn check_key(key_bytes: usize) -> Result<(), ViewError> {
    match key_bytes {
        0 => Err(ViewError("a key is empty".into())),
        1..=MAX_VIEW_KEY_BYTES => Ok(()),
        _ => Err(ViewError(format!(
            "a key has {key_bytes} bytes, limit {MAX_VIEW_KEY_BYTES}"
        ))),
    }
}

fn check_value(value_bytes: usize) -> Result<(), ViewError> {
    if value_bytes <= MAX_VIEW_VALUE_BYTES {
        return Ok(());
    }
    Err(ViewError(format!(
        "a value has {value_bytes} bytes, limit {MAX_VIEW_VALUE_BYTES}"
    )))
}
