//! What is set about buckets, as S3 writes it.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::xml::{Element, group, text};
use crate::backend::{Encryption, Lifecycle, LockMode, LockRule, ObjectVersion, Tags};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// The one rule of a lifecycle that has several actions.
const RULE: &str = "larder-cosi";

fn root(name: &str, content: &str) -> String {
    format!("<{name} xmlns=\"{NAMESPACE}\">{content}</{name}>")
}

fn tag_list(tags: &Tags) -> String {
    let tag = |(key, value): (&String, &String)| {
        group("Tag", &[text("Key", key), text("Value", value)].concat())
    };
    tags.iter().map(tag).collect()
}

pub(super) fn tagging(tags: &Tags) -> String {
    root("Tagging", &group("TagSet", &tag_list(tags)))
}

pub(super) fn read_tags(list: &[Element]) -> Tags {
    let tag = |tag: &Element| (tag.get("Key").to_owned(), tag.get("Value").to_owned());
    list.iter().map(tag).collect()
}

/// Without a constraint where there is nothing to say: AWS's oldest region takes none.
pub(super) fn create_bucket(region: &str, tags: &Tags) -> String {
    let constraint = match region {
        "us-east-1" => String::new(),
        region => text("LocationConstraint", region),
    };
    let tags = if tags.is_empty() {
        String::new()
    } else {
        group("Tags", &tag_list(tags))
    };
    match constraint + &tags {
        empty if empty.is_empty() => empty,
        content => root("CreateBucketConfiguration", &content),
    }
}

pub(super) fn versioning() -> String {
    root("VersioningConfiguration", &text("Status", "Enabled"))
}

pub(super) fn object_lock(rule: LockRule) -> String {
    let days = text("Days", &rule.days.to_string());
    let retention = [text("Mode", mode_word(rule.mode)), days].concat();
    let rule = group("Rule", &group("DefaultRetention", &retention));
    let enabled = text("ObjectLockEnabled", "Enabled");
    root("ObjectLockConfiguration", &[enabled, rule].concat())
}

fn mode_word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
    }
}

fn mode(word: &str) -> Option<LockMode> {
    match word {
        "GOVERNANCE" => Some(LockMode::Governance),
        "COMPLIANCE" => Some(LockMode::Compliance),
        _ => None,
    }
}

pub(super) fn read_object_lock(root: &Element) -> Option<LockRule> {
    let retention = root.at("Rule/DefaultRetention")?;
    Some(LockRule {
        mode: mode(retention.get("Mode"))?,
        days: retention.number("Days")?,
    })
}

pub(super) fn read_retention(root: &Element) -> Option<(LockMode, OffsetDateTime)> {
    let until = OffsetDateTime::parse(root.get("RetainUntilDate"), &Rfc3339).ok()?;
    Some((mode(root.get("Mode"))?, until))
}

pub(super) fn lifecycle(lifecycle: &Lifecycle) -> String {
    let days = |group_name: &str, name: &str, days: Option<u32>| {
        days.map_or(String::new(), |days| {
            group(group_name, &text(name, &days.to_string()))
        })
    };
    let actions = [
        text("ID", RULE),
        text("Status", "Enabled"),
        group("Filter", &text("Prefix", "")),
        days("Expiration", "Days", lifecycle.expire_days),
        days(
            "NoncurrentVersionExpiration",
            "NoncurrentDays",
            lifecycle.noncurrent_days,
        ),
        days(
            "AbortIncompleteMultipartUpload",
            "DaysAfterInitiation",
            lifecycle.abort_days,
        ),
    ];
    root("LifecycleConfiguration", &group("Rule", &actions.concat()))
}

/// What the driver's own rule says, or the first one.
pub(super) fn read_lifecycle(root: &Element) -> Lifecycle {
    let ours = root.all("Rule").find(|rule| rule.get("ID") == RULE);
    let rule = ours.or_else(|| root.all("Rule").next());
    rule.map(|rule| Lifecycle {
        expire_days: rule.number("Expiration/Days"),
        noncurrent_days: rule.number("NoncurrentVersionExpiration/NoncurrentDays"),
        abort_days: rule.number("AbortIncompleteMultipartUpload/DaysAfterInitiation"),
    })
    .unwrap_or_default()
}

pub(super) fn encryption(encryption: &Encryption) -> String {
    let default = match encryption {
        Encryption::Aes256 => text("SSEAlgorithm", "AES256"),
        Encryption::Kms(None) => text("SSEAlgorithm", "aws:kms"),
        Encryption::Kms(Some(key)) => {
            [text("SSEAlgorithm", "aws:kms"), text("KMSMasterKeyID", key)].concat()
        }
    };
    let default = group("ApplyServerSideEncryptionByDefault", &default);
    root(
        "ServerSideEncryptionConfiguration",
        &group("Rule", &default),
    )
}

pub(super) fn read_encryption(root: &Element) -> Option<Encryption> {
    let default = root.at("Rule/ApplyServerSideEncryptionByDefault")?;
    match default.get("SSEAlgorithm") {
        "AES256" => Some(Encryption::Aes256),
        "aws:kms" => {
            let key = default.get("KMSMasterKeyID");
            Some(Encryption::Kms((!key.is_empty()).then(|| key.to_owned())))
        }
        _ => None,
    }
}

/// A request to delete versions; only those that could not be deleted are answered.
pub(super) fn delete(versions: &[&ObjectVersion]) -> String {
    let object = |version: &&ObjectVersion| {
        let fields = [
            text("Key", &version.key),
            text("VersionId", &version.version),
        ];
        group("Object", &fields.concat())
    };
    let objects: String = versions.iter().map(object).collect();
    root("Delete", &[objects, text("Quiet", "true")].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Element {
        Element::parse(document.as_bytes()).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let rule = LockRule {
            mode: LockMode::Compliance,
            days: 3,
        };
        assert_eq!(read_object_lock(&read(&object_lock(rule))), Some(rule));
        let all = Lifecycle {
            expire_days: Some(1),
            noncurrent_days: Some(2),
            abort_days: None,
        };
        assert_eq!(read_lifecycle(&read(&lifecycle(&all))), all);
        for one in [
            Encryption::Aes256,
            Encryption::Kms(None),
            Encryption::Kms(Some("k".to_owned())),
        ] {
            assert_eq!(read_encryption(&read(&encryption(&one))), Some(one));
        }
        let tags: Tags = [("a&".to_owned(), "<b".to_owned())].into();
        assert_eq!(read_tags(read(&tagging(&tags)).list("TagSet")), tags);
    }

    #[test]
    fn a_new_bucket_is_described_only_where_there_is_something_to_say() {
        assert_eq!(create_bucket("us-east-1", &Tags::new()), "");
        let text = create_bucket("eu-west-1", &[("a".to_owned(), "b".to_owned())].into());
        let root = read(&text);
        assert_eq!(root.get("LocationConstraint"), "eu-west-1");
        assert_eq!(root.get("Tags/Tag/Key"), "a");
    }
}
