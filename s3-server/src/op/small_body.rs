//! Bodies that are XML: read whole, within a bound.

use super::{
    Call,
    ingest::{Intake, Plan},
};
use crate::error::{S3Code, S3Error, S3Result};

/// Reads a body whose checksum headers, if any, are its own.
///
/// # Errors
/// [`S3Code::MaxMessageLengthExceeded`], and those of the body.
pub(crate) async fn read(call: &mut Call<'_>, max_bytes: usize) -> S3Result<Vec<u8>> {
    let plan = Plan::of(call)?;
    read_planned(call, plan, max_bytes).await
}

/// Reads a body whose request has checksum headers that are of something else.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_unchecked(call: &mut Call<'_>, max_bytes: usize) -> S3Result<Vec<u8>> {
    let plan = Plan::without_checksum(call)?;
    read_planned(call, plan, max_bytes).await
}

/// Reads a body whose plan the caller has looked at already.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_planned(
    call: &mut Call<'_>,
    plan: Plan,
    max_bytes: usize,
) -> S3Result<Vec<u8>> {
    let size = usize::try_from(plan.size)
        .ok()
        .filter(|&size| size <= max_bytes);
    let size = size.ok_or_else(|| S3Error::new(S3Code::MaxMessageLengthExceeded))?;
    let mut all = Vec::with_capacity(size);
    let mut intake = Intake::new(call, plan, false);
    while let Some(data) = intake.next().await? {
        if all.len() + data.len() > size {
            return Err(S3Error::new(S3Code::IncompleteBody));
        }
        all.extend_from_slice(&data);
    }
    intake.finish().await?;
    Ok(all)
}
