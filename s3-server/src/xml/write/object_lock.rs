//! Answers about object lock.

use super::writer::Writer;

/// How new versions are retained, as `DefaultRetention` says it.
#[derive(Clone, Copy, Debug)]
pub struct LockRule {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: &'static str,
    /// `Days` or `Years`.
    pub unit: &'static str,
    /// How many.
    pub count: u32,
}

/// `ObjectLockConfiguration` of a bucket that has object lock.
pub fn object_lock_configuration(rule: Option<LockRule>) -> String {
    let mut w = Writer::new("ObjectLockConfiguration", 256);
    w.text("ObjectLockEnabled", "Enabled");
    if let Some(LockRule { mode, unit, count }) = rule {
        w.nested("Rule", |w| {
            w.nested("DefaultRetention", |w| {
                w.text("Mode", mode);
                w.value(unit, count);
            });
        });
    }
    w.finish()
}

/// `Retention`.
pub fn retention(mode: &str, until_ms: i64) -> String {
    let mut w = Writer::new("Retention", 128);
    w.text("Mode", mode);
    w.time("RetainUntilDate", until_ms);
    w.finish()
}

/// `LegalHold`.
pub fn legal_hold(status: &str) -> String {
    let mut w = Writer::new("LegalHold", 128);
    w.text("Status", status);
    w.finish()
}
