//! Rules as clients send them, checked as AWS does.

use larder_storage::objects::{
    Expiration, FilterForm, LifecycleFilter, LifecycleRule, NoncurrentExpiration,
};

use super::super::{call::invalid_argument, object_lock::date};
use crate::{
    error::{S3Code, S3Error, S3Result},
    xml::{Tag, TagSet, parse},
};

const MAX_ID_CHARS: usize = 255;
const MAX_PREFIX_BYTES: usize = 1024;
/// 50 TB and more: AWS's bound.
const MAX_SIZE: i64 = 1_099_511_627_776_000;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

fn malformed() -> S3Error {
    S3Error::new(S3Code::MalformedXml)
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3Code::InvalidRequest, message)
}

/// One rule; `new_id` names it if the client did not.
///
/// # Errors
/// [`S3Code::MalformedXml`], [`S3Code::InvalidArgument`], [`S3Code::InvalidRequest`], [`S3Code::NotImplemented`].
pub(super) fn rule(
    asked: &parse::LifecycleRule,
    new_id: impl FnOnce() -> String,
) -> S3Result<LifecycleRule> {
    let id = match asked.id.as_deref() {
        None | Some("") => new_id(),
        Some(id) if id.chars().count() > MAX_ID_CHARS => {
            let message = "ID length should not exceed allowed limit of 255";
            return Err(invalid_argument("ID", id, message));
        }
        Some(id) => id.to_owned(),
    };
    let is_enabled = match asked.status.as_deref() {
        Some("Enabled") => true,
        Some("Disabled") => false,
        _ => return Err(malformed()),
    };
    if asked.has_transition {
        let message = "Larder has no storage classes that objects could be moved to.";
        return Err(S3Error::with_message(S3Code::NotImplemented, message));
    }
    let rule = LifecycleRule {
        id,
        is_enabled,
        filter: rule_filter(asked)?,
        expiration: asked.expiration.as_ref().map(expiration).transpose()?,
        noncurrent: asked.noncurrent.as_ref().map(noncurrent).transpose()?,
        abort_uploads_after_days: asked.abort.map(abort).transpose()?,
    };
    check_actions(&rule)?;
    Ok(rule)
}

pub(super) fn same_id(id: &str) -> S3Error {
    let message = "Rule ID must be unique. Found same ID for more than one rule";
    invalid_argument("ID", id, message)
}

/// Prefixes of rules themselves and filters do not stand side by side.
///
/// # Errors
/// [`S3Code::InvalidRequest`].
pub(super) fn check_forms(rules: &[LifecycleRule]) -> S3Result<()> {
    let is_old = |rule: &LifecycleRule| rule.filter.form == FilterForm::Prefix;
    let starts_old = rules.first().is_some_and(is_old);
    match rules.iter().find(|rule| is_old(rule) != starts_old) {
        None => Ok(()),
        Some(_) if starts_old => Err(refused("Filter element can only be used in Lifecycle V2.")),
        Some(_) => Err(refused(
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter.",
        )),
    }
}

fn rule_filter(asked: &parse::LifecycleRule) -> S3Result<LifecycleFilter> {
    let filter = match (&asked.prefix, &asked.filter) {
        (Some(prefix), None) => LifecycleFilter {
            form: FilterForm::Prefix,
            prefix: Some(prefix.clone()),
            ..LifecycleFilter::default()
        },
        (None, Some(filter)) => match &filter.and {
            Some(and) if filter.conditions() == 1 && and.conditions() >= 2 => {
                conditions(and, FilterForm::All)?
            }
            None if filter.conditions() <= 1 => conditions(filter, FilterForm::One)?,
            _ => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    let prefix = filter.prefix.as_deref().unwrap_or_default();
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(refused("The maximum size of a prefix is 1024."));
    }
    Ok(filter)
}

fn conditions(asked: &parse::LifecycleFilter, form: FilterForm) -> S3Result<LifecycleFilter> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for Tag { key, value } in &asked.tags {
        if tags.iter().any(|(known, _)| known == key) {
            return Err(refused("Duplicate Tag Keys are not allowed."));
        }
        let (key, value) = (key.clone(), value.clone());
        for tag in TagSet::new(vec![Tag { key, value }])?.into_vec() {
            tags.push((tag.key, tag.value));
        }
    }
    let larger_than = asked
        .larger_than
        .map(|size| self::size("ObjectSizeGreaterThan", size, 0))
        .transpose()?;
    let smaller_than = asked
        .smaller_than
        .map(|size| self::size("ObjectSizeLessThan", size, 1))
        .transpose()?;
    if let (Some(larger), Some(smaller)) = (larger_than, smaller_than)
        && larger >= smaller
    {
        return Err(refused(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        ));
    }
    Ok(LifecycleFilter {
        form,
        prefix: asked.prefix.clone(),
        tags,
        larger_than,
        smaller_than,
    })
}

fn size(name: &str, size: i64, least: i64) -> S3Result<u64> {
    let fits = (least..=MAX_SIZE).contains(&size);
    u64::try_from(size).ok().filter(|_| fits).ok_or_else(|| {
        refused(format!(
            "'{name}' should be between {least} and {MAX_SIZE}."
        ))
    })
}

fn expiration(asked: &parse::LifecycleExpiration) -> S3Result<Expiration> {
    match (asked.days, asked.date.as_deref(), asked.delete_markers) {
        (Some(days), None, None) => {
            let message = "'Days' for Expiration action must be a positive integer";
            Ok(Expiration::AfterDays(positive("Days", days, message)?))
        }
        (None, Some(text), None) => match date(text) {
            Some(date) if date % DAY_MILLIS == 0 => Ok(Expiration::OnDate(date)),
            Some(_) => {
                let message = "'Date' must be at midnight GMT";
                Err(invalid_argument("Date", text, message))
            }
            None => Err(malformed()),
        },
        (None, None, Some(go)) => Ok(Expiration::DeleteMarkers(go)),
        _ => Err(malformed()),
    }
}

fn noncurrent(asked: &parse::NoncurrentExpiration) -> S3Result<NoncurrentExpiration> {
    let days = asked.days.ok_or_else(malformed)?;
    let message =
        "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
    let days = positive("NoncurrentDays", days, message)?;
    let message = "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be a positive integer";
    let newer = asked
        .newer_versions
        .map(|newer| positive("NewerNoncurrentVersions", newer, message));
    Ok(NoncurrentExpiration {
        days,
        newer_versions: newer.transpose()?,
    })
}

fn abort(days: Option<i32>) -> S3Result<u32> {
    let message = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
    positive("DaysAfterInitiation", days.ok_or_else(malformed)?, message)
}

fn positive(name: &str, value: i32, message: &'static str) -> S3Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|value| *value > 0)
        .ok_or_else(|| invalid_argument(name, &value.to_string(), message))
}

fn check_actions(rule: &LifecycleRule) -> S3Result<()> {
    let is_about_markers = matches!(rule.expiration, Some(Expiration::DeleteMarkers(_)));
    let aborts = rule.abort_uploads_after_days.is_some();
    if rule.expiration.is_none() && rule.noncurrent.is_none() && !aborts {
        return Err(refused(
            "At least one action needs to be specified in a rule",
        ));
    }
    let only_of_keys = [
        (is_about_markers, "ExpiredObjectDeleteMarker"),
        (aborts, "AbortIncompleteMultipartUpload"),
    ];
    for (_, action) in only_of_keys.iter().filter(|(has, _)| *has) {
        if !rule.filter.tags.is_empty() {
            return Err(refused(format!("{action} cannot be specified with Tags.")));
        }
        if !rule.is_of_keys() {
            return Err(refused(format!(
                "{action} cannot be specified with Object Size."
            )));
        }
    }
    let counts = rule.noncurrent.and_then(|n| n.newer_versions).is_some();
    if counts && rule.filter.form == FilterForm::Prefix {
        return Err(refused(
            "NewerNoncurrentVersions element can only be used in Lifecycle V2.",
        ));
    }
    Ok(())
}
