//! `LifecycleConfiguration`.

use larder_storage::objects::{Expiration, FilterForm, Lifecycle, LifecycleFilter, LifecycleRule};

use super::{super::time::iso8601, writer::Writer};

/// The rules of a bucket, in the form in which they were given.
pub fn lifecycle_configuration(lifecycle: &Lifecycle) -> String {
    let mut w = Writer::new("LifecycleConfiguration", 256 * lifecycle.rules.len());
    for rule in &lifecycle.rules {
        w.nested("Rule", |w| write_rule(rule, w));
    }
    w.finish()
}

fn write_rule(rule: &LifecycleRule, w: &mut Writer) {
    w.text("ID", &rule.id);
    match rule.filter.form {
        FilterForm::Prefix => w.text("Prefix", rule.filter.prefix.as_deref().unwrap_or_default()),
        FilterForm::One => w.nested("Filter", |w| write_conditions(&rule.filter, w)),
        FilterForm::All => w.nested("Filter", |w| {
            w.nested("And", |w| write_conditions(&rule.filter, w));
        }),
    }
    let status = if rule.is_enabled {
        "Enabled"
    } else {
        "Disabled"
    };
    w.text("Status", status);
    if let Some(expiration) = rule.expiration {
        w.nested("Expiration", |w| match expiration {
            Expiration::AfterDays(days) => w.value("Days", days),
            Expiration::OnDate(date) => {
                w.text("Date", &iso8601(i64::try_from(date).unwrap_or(i64::MAX)));
            }
            Expiration::DeleteMarkers(go) => w.value("ExpiredObjectDeleteMarker", go),
        });
    }
    if let Some(noncurrent) = rule.noncurrent {
        w.nested("NoncurrentVersionExpiration", |w| {
            w.value("NoncurrentDays", noncurrent.days);
            if let Some(newer) = noncurrent.newer_versions {
                w.value("NewerNoncurrentVersions", newer);
            }
        });
    }
    if let Some(days) = rule.abort_uploads_after_days {
        w.nested("AbortIncompleteMultipartUpload", |w| {
            w.value("DaysAfterInitiation", days);
        });
    }
}

fn write_conditions(filter: &LifecycleFilter, w: &mut Writer) {
    w.text_if("Prefix", filter.prefix.as_deref());
    for (key, value) in &filter.tags {
        w.nested("Tag", |w| {
            w.text("Key", key);
            w.text("Value", value);
        });
    }
    if let Some(size) = filter.larger_than {
        w.value("ObjectSizeGreaterThan", size);
    }
    if let Some(size) = filter.smaller_than {
        w.value("ObjectSizeLessThan", size);
    }
}
