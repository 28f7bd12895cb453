//! What protects versions from being deleted, as records hold it.

use super::fields::{Encoder, Field, RecordError};
use crate::varint;

/// In the record of an object, and of an upload.
const RETENTION: u64 = 21;
const LEGAL_HOLD: u64 = 23;
/// In the record of a bucket.
const OF_BUCKET: u64 = 15;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// As S3 counts them.
const DAYS_OF_A_YEAR: u64 = 365;

/// How strictly a version is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetentionMode {
    /// Those with the permission may end it.
    Governance,
    /// Nobody may.
    Compliance,
}

/// Until when a version is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retention {
    /// How strictly.
    pub mode: RetentionMode,
    /// Milliseconds since the Unix epoch.
    pub until_unix_millis: u64,
}

/// What protects a version. `Default` is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectLock {
    /// Until a time.
    pub retention: Option<Retention>,
    /// Until it is released. `Some(false)`: it was released; `None`: there never was one.
    pub legal_hold: Option<bool>,
}

/// How long new versions are retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetentionPeriod {
    /// So many days.
    Days(u32),
    /// So many years of 365 days.
    Years(u32),
}

/// How new versions in a bucket are retained unless they ask for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DefaultRetention {
    /// How strictly.
    pub mode: RetentionMode,
    /// How long from when they are written.
    pub period: RetentionPeriod,
}

/// The object lock of a bucket that has it: versions in it can be protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BucketLock {
    /// What new versions get.
    pub default_retention: Option<DefaultRetention>,
}

impl DefaultRetention {
    /// The retention of a version that is written at `now`.
    pub(in crate::objects) fn from(self, now_unix_millis: u64) -> Retention {
        let days = match self.period {
            RetentionPeriod::Days(days) => u64::from(days),
            RetentionPeriod::Years(years) => u64::from(years) * DAYS_OF_A_YEAR,
        };
        Retention {
            mode: self.mode,
            until_unix_millis: now_unix_millis.saturating_add(days * DAY_MILLIS),
        }
    }
}

impl ObjectLock {
    pub(super) fn encode(&self, out: &mut Encoder) {
        if let Some(retention) = &self.retention {
            let mut bytes = vec![mode_byte(retention.mode)];
            varint::put(&mut bytes, retention.until_unix_millis);
            out.bytes(RETENTION, &bytes);
        }
        match self.legal_hold {
            None => {}
            Some(true) => out.bytes(LEGAL_HOLD, &[]),
            Some(false) => out.bytes(LEGAL_HOLD, &[0]),
        }
    }

    /// Reads `field` if it is one of a lock; says whether it is.
    pub(super) fn take(&mut self, field: &Field<'_>) -> Result<bool, RecordError> {
        match field.tag {
            RETENTION => self.retention = Some(field.whole(take_retention)?),
            LEGAL_HOLD => {
                self.legal_hold = Some(match field.bytes {
                    [] => true,
                    [0] => false,
                    _ => return Err(field.bad()),
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl BucketLock {
    pub(super) fn encode(self, out: &mut Encoder) {
        let mut bytes = Vec::new();
        if let Some(DefaultRetention { mode, period }) = self.default_retention {
            let (unit, count) = match period {
                RetentionPeriod::Days(count) => (0, count),
                RetentionPeriod::Years(count) => (1, count),
            };
            bytes.extend_from_slice(&[mode_byte(mode), unit]);
            varint::put(&mut bytes, u64::from(count));
        }
        out.bytes(OF_BUCKET, &bytes);
    }

    /// What `field` says, if it is that of a bucket's lock.
    pub(super) fn take(field: &Field<'_>) -> Result<Option<Self>, RecordError> {
        if field.tag != OF_BUCKET {
            return Ok(None);
        }
        if field.bytes.is_empty() {
            return Ok(Some(Self::default()));
        }
        let default_retention = Some(field.whole(take_default)?);
        Ok(Some(Self { default_retention }))
    }
}

fn mode_byte(mode: RetentionMode) -> u8 {
    u8::from(mode == RetentionMode::Compliance)
}

fn take_mode(input: &mut &[u8]) -> Option<RetentionMode> {
    match varint::take_bytes(input, 1)? {
        [0] => Some(RetentionMode::Governance),
        [1] => Some(RetentionMode::Compliance),
        _ => None,
    }
}

fn take_retention(input: &mut &[u8]) -> Option<Retention> {
    Some(Retention {
        mode: take_mode(input)?,
        until_unix_millis: varint::take(input)?,
    })
}

fn take_default(input: &mut &[u8]) -> Option<DefaultRetention> {
    let mode = take_mode(input)?;
    let unit = varint::take_bytes(input, 1)?;
    let count = u32::try_from(varint::take(input)?).ok()?;
    let period = match unit {
        [0] => RetentionPeriod::Days(count),
        [1] => RetentionPeriod::Years(count),
        _ => return None,
    };
    Some(DefaultRetention { mode, period })
}
