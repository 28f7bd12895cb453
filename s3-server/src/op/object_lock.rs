//! What the operations on object lock share, and `GetObjectLockConfiguration`, `PutObjectLockConfiguration`.

use http::HeaderMap;
use larder_storage::objects::{
    BucketLock, BucketName, DefaultRetention, Governance, ObjectKey, ObjectLock, Retention,
    RetentionMode, RetentionPeriod, StoreError,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Call,
    call::{invalid_argument, no_object_lock, text},
    listing, small_body,
};
use crate::{
    error::{S3Code, S3Error, S3Result},
    http::Response,
    reply,
    xml::{
        iso8601,
        parse::{self, MAX_SMALL_BYTES},
        write::{self, LockRule},
    },
};

const BYPASS: &str = "x-amz-bypass-governance-retention";
const GOVERNANCE: &str = "GOVERNANCE";
const COMPLIANCE: &str = "COMPLIANCE";
pub(super) const ON: &str = "ON";
pub(super) const OFF: &str = "OFF";
/// A hundred years, as AWS has it.
const MAX_DAYS: i64 = 36_500;
const MAX_YEARS: i64 = 100;

pub(super) async fn get(bucket: &BucketName, call: Call<'_>) -> S3Result<Response> {
    let Some(lock) = call.store.bucket(bucket).await?.lock else {
        return Err(S3Error::new(S3Code::ObjectLockConfigurationNotFound)
            .element("BucketName", bucket.as_str()));
    };
    let rule = lock.default_retention.map(|default| {
        let (unit, count) = match default.period {
            RetentionPeriod::Days(count) => ("Days", count),
            RetentionPeriod::Years(count) => ("Years", count),
        };
        LockRule {
            mode: mode_name(default.mode),
            unit,
            count,
        }
    });
    Ok(reply::xml(write::object_lock_configuration(rule)))
}

pub(super) async fn put(bucket: &BucketName, mut call: Call<'_>) -> S3Result<Response> {
    let body = small_body::read(&mut call, MAX_SMALL_BYTES).await?;
    let asked = parse::object_lock_configuration(&body)?;
    if asked.enabled.as_deref() != Some("Enabled") {
        return Err(S3Error::new(S3Code::MalformedXml));
    }
    let default_retention = asked.default_retention.as_ref().map(default_retention);
    let lock = BucketLock {
        default_retention: default_retention.transpose()?,
    };
    call.store.set_bucket_lock(bucket, lock).await?;
    Ok(reply::empty())
}

fn default_retention(asked: &parse::DefaultRetention) -> S3Result<DefaultRetention> {
    check_no_event_hold(asked.has_event_hold)?;
    let malformed = || S3Error::new(S3Code::MalformedXml);
    let mode = asked.mode.as_deref().and_then(mode).ok_or_else(malformed)?;
    let period = match (asked.days, asked.years) {
        (Some(days), None) => RetentionPeriod::Days(count("Days", days, MAX_DAYS)?),
        (None, Some(years)) => RetentionPeriod::Years(count("Years", years, MAX_YEARS)?),
        _ => return Err(malformed()),
    };
    Ok(DefaultRetention { mode, period })
}

fn count(name: &str, count: i64, most: i64) -> S3Result<u32> {
    let message = match u32::try_from(count) {
        Ok(count) if (1..=most).contains(&i64::from(count)) => return Ok(count),
        _ if count <= 0 => "Default retention period must be a positive integer value.",
        _ => "Default retention period too large.",
    };
    Err(invalid_argument(name, &count.to_string(), message))
}

/// The lock that the headers of a write ask for.
///
/// # Errors
/// [`S3Code::InvalidArgument`], [`S3Code::NotImplemented`].
pub(super) fn from_headers(headers: &HeaderMap) -> S3Result<ObjectLock> {
    const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";
    let event_hold = |name: &str| name.starts_with("x-amz-object-lock-event-hold");
    check_no_event_hold(headers.keys().any(|name| event_hold(name.as_str())))?;
    let legal_hold = match text(headers, LEGAL_HOLD) {
        None => None,
        Some(ON) => Some(true),
        Some(OFF) => Some(false),
        Some(other) => {
            let message = "Legal Hold must be either of 'ON' or 'OFF'";
            return Err(invalid_argument(LEGAL_HOLD, other, message));
        }
    };
    Ok(ObjectLock {
        retention: retention_from_headers(headers)?,
        legal_hold,
    })
}

const MODE_HEADER: &str = "x-amz-object-lock-mode";
const UNTIL_HEADER: &str = "x-amz-object-lock-retain-until-date";

fn retention_from_headers(headers: &HeaderMap) -> S3Result<Option<Retention>> {
    const BOTH: &str =
        "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
    let (name, until) = match (text(headers, MODE_HEADER), text(headers, UNTIL_HEADER)) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(invalid_argument(UNTIL_HEADER, "", BOTH)),
        (None, Some(_)) => return Err(invalid_argument(MODE_HEADER, "", BOTH)),
        (Some(name), Some(until)) => (name, until),
    };
    let unknown = || invalid_argument(MODE_HEADER, name, "Unknown wormMode directive.");
    let no_date = || {
        let message = "The retain until date must be provided in ISO 8601 format";
        invalid_argument(UNTIL_HEADER, until, message)
    };
    Ok(Some(Retention {
        mode: mode(name).ok_or_else(unknown)?,
        until_unix_millis: date(until).ok_or_else(no_date)?,
    }))
}

/// Whether an object with this lock may be written; looked at before its body is taken. `has_integrity`: the client says what shows
/// whether its bytes arrived whole, or there are none.
///
/// # Errors
/// [`S3Code::NoSuchBucket`], [`S3Code::InvalidArgument`], [`S3Code::InvalidRequest`].
pub(super) async fn check_write(
    call: &Call<'_>,
    bucket: &BucketName,
    lock: &ObjectLock,
    has_integrity: bool,
) -> S3Result<()> {
    let is_locked = call.store.check_lock(bucket, lock).await;
    let is_locked = is_locked.map_err(|error| in_past(error, UNTIL_HEADER, call.headers()))?;
    if is_locked && !has_integrity {
        return Err(no_integrity("Put Object"));
    }
    Ok(())
}

/// AWS locks nothing away that may have been damaged on its way.
pub(super) fn no_integrity(request: &str) -> S3Error {
    let message = format!(
        "Content-MD5 OR x-amz-checksum- HTTP header is required for {request} requests with Object Lock parameters"
    );
    S3Error::with_message(S3Code::InvalidRequest, message)
}

fn in_past(error: StoreError, argument: &str, headers: &HeaderMap) -> S3Error {
    let value = text(headers, UNTIL_HEADER).unwrap_or_default();
    retention_error(error, argument, value)
}

/// A retention that can't be, by the name of the argument that said so.
pub(super) fn retention_error(error: StoreError, argument: &str, value: &str) -> S3Error {
    match error {
        StoreError::RetentionInPast => {
            let message = "The retain until date must be in the future!";
            invalid_argument(argument, value, message).source_of(error)
        }
        other => other.into(),
    }
}

/// Refuses what would otherwise be protected for less time than was asked for.
///
/// # Errors
/// [`S3Code::NotImplemented`].
pub(super) fn check_no_event_hold(is_asked_for: bool) -> S3Result<()> {
    if is_asked_for {
        let message = "Larder does not implement event holds.";
        return Err(S3Error::with_message(S3Code::NotImplemented, message));
    }
    Ok(())
}

/// Whether governance binds this request: not if it says so. Whoever sent it may: [`super::authorize`] has asked for
/// `s3:BypassGovernanceRetention`, key by key where there are several.
///
/// # Errors
/// [`S3Code::NoSuchBucket`]; [`S3Code::InvalidArgument`] in a bucket without object lock.
pub(super) async fn governance(call: &Call<'_>, bucket: &BucketName) -> S3Result<Governance> {
    let Some(value) = call.header(BYPASS) else {
        return Ok(Governance::Heeded);
    };
    if call.store.bucket(bucket).await?.lock.is_none() {
        let message =
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.";
        return Err(invalid_argument(BYPASS, value, message));
    }
    if !value.eq_ignore_ascii_case("true") {
        return Ok(Governance::Heeded);
    }
    Ok(Governance::Bypassed)
}

/// The lock of the version that the request names.
///
/// # Errors
/// [`S3Code::InvalidRequest`] in a bucket without object lock; what is said of a version that is not there.
pub(super) async fn lock_of(
    bucket: &BucketName,
    key: &ObjectKey,
    call: &Call<'_>,
) -> S3Result<ObjectLock> {
    let version = call.version_id()?;
    let of_bucket = call.store.bucket(bucket).await?.lock;
    let found = call.store.object_version(bucket, key, version).await;
    let found = found.map_err(|error| call.missing(error, key))?;
    of_bucket
        .map(|_| found.info().lock)
        .ok_or_else(no_object_lock)
}

/// Says on an answer how the object is locked.
pub(super) fn describe(lock: &ObjectLock, headers: &mut HeaderMap) {
    if let Some(retention) = lock.retention {
        let until = iso8601(listing::millis(retention.until_unix_millis));
        reply::set(
            headers,
            reply::X_AMZ_OBJECT_LOCK_MODE,
            mode_name(retention.mode),
        );
        reply::set(headers, reply::X_AMZ_OBJECT_LOCK_RETAIN_UNTIL_DATE, &until);
    }
    if let Some(is_held) = lock.legal_hold {
        let name = reply::X_AMZ_OBJECT_LOCK_LEGAL_HOLD;
        reply::set(headers, name, hold_name(is_held));
    }
}

pub(super) fn hold_name(is_held: bool) -> &'static str {
    if is_held { ON } else { OFF }
}

pub(super) fn mode_name(mode: RetentionMode) -> &'static str {
    match mode {
        RetentionMode::Governance => GOVERNANCE,
        RetentionMode::Compliance => COMPLIANCE,
    }
}

pub(super) fn mode(name: &str) -> Option<RetentionMode> {
    match name {
        GOVERNANCE => Some(RetentionMode::Governance),
        COMPLIANCE => Some(RetentionMode::Compliance),
        _ => None,
    }
}

/// Milliseconds since 1970 of an ISO 8601 date; one before that is long past.
pub(super) fn date(text: &str) -> Option<u64> {
    let when = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?;
    let millis = when.unix_timestamp_nanos() / 1_000_000;
    Some(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(pairs: &[(&'static str, &str)]) -> S3Result<ObjectLock> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        from_headers(&headers)
    }

    #[test]
    fn headers_ask_for_a_lock() {
        assert!(lock(&[]).unwrap().is_none());
        let until = (UNTIL_HEADER, "2030-01-02T03:04:05.678Z");
        let locked = lock(&[
            (MODE_HEADER, COMPLIANCE),
            until,
            ("x-amz-object-lock-legal-hold", "OFF"),
        ]);
        let retention = Retention {
            mode: RetentionMode::Compliance,
            until_unix_millis: 1_893_553_445_678,
        };
        let expected = ObjectLock {
            retention: Some(retention),
            legal_hold: Some(false),
        };
        assert_eq!(locked.unwrap(), expected);
    }

    #[test]
    fn headers_that_ask_for_no_lock_are_refused() {
        let until = (UNTIL_HEADER, "2030-01-02T03:04:05Z");
        for bad in [
            &[(MODE_HEADER, GOVERNANCE)][..],
            &[until],
            &[(MODE_HEADER, "governance"), until],
            &[(MODE_HEADER, GOVERNANCE), (UNTIL_HEADER, "tomorrow")],
            &[("x-amz-object-lock-legal-hold", "on")],
        ] {
            let error = lock(bad).unwrap_err();
            assert_eq!(error.code(), S3Code::InvalidArgument, "{bad:?}");
        }
        let error = lock(&[("x-amz-object-lock-event-hold", "ON")]).unwrap_err();
        assert_eq!(error.code(), S3Code::NotImplemented);
    }

    #[test]
    fn periods_have_bounds() {
        let default = |days, years| {
            default_retention(&parse::DefaultRetention {
                mode: Some(GOVERNANCE.to_owned()),
                days,
                years,
                has_event_hold: false,
            })
        };
        let days = default(Some(36_500), None).unwrap().period;
        assert_eq!(days, RetentionPeriod::Days(36_500));
        let years = default(None, Some(100)).unwrap().period;
        assert_eq!(years, RetentionPeriod::Years(100));
        for (days, years, code) in [
            (Some(0), None, S3Code::InvalidArgument),
            (Some(36_501), None, S3Code::InvalidArgument),
            (None, Some(-1), S3Code::InvalidArgument),
            (None, Some(i64::MAX), S3Code::InvalidArgument),
            (Some(1), Some(1), S3Code::MalformedXml),
            (None, None, S3Code::MalformedXml),
        ] {
            let error = default(days, years).unwrap_err();
            assert_eq!(error.code(), code, "{days:?} {years:?}");
        }
    }
}
