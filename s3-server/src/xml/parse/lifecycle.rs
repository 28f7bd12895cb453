//! The body of `PutBucketLifecycleConfiguration`. What its values mean is the operation's matter.

use super::{Tag, XmlError, cursor::Cursor, malformed, tag};

/// Most rules of a bucket.
pub const MAX_LIFECYCLE_RULES: usize = 1000;
/// Largest body in bytes: a thousand rules with names and prefixes of the greatest length.
pub const MAX_LIFECYCLE_BYTES: usize = 4 * 1024 * 1024;

/// A parsed `Rule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its name.
    pub id: Option<String>,
    /// `Enabled` or `Disabled`.
    pub status: Option<String>,
    /// The prefix of the rule itself, as of old.
    pub prefix: Option<String>,
    /// Its filter.
    pub filter: Option<LifecycleFilter>,
    /// `Expiration`.
    pub expiration: Option<LifecycleExpiration>,
    /// `NoncurrentVersionExpiration`.
    pub noncurrent: Option<NoncurrentExpiration>,
    /// `AbortIncompleteMultipartUpload`, and the days in it.
    pub abort: Option<Option<i32>>,
    /// It has a transition to another storage class.
    pub has_transition: bool,
}

/// A parsed `Filter`, or the `And` in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleFilter {
    /// `Prefix`.
    pub prefix: Option<String>,
    /// Each `Tag`.
    pub tags: Vec<Tag>,
    /// `ObjectSizeGreaterThan`.
    pub larger_than: Option<i64>,
    /// `ObjectSizeLessThan`.
    pub smaller_than: Option<i64>,
    /// `And`, never in an `And`.
    pub and: Option<Box<Self>>,
}

/// A parsed `Expiration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleExpiration {
    /// `Days`.
    pub days: Option<i32>,
    /// `Date`, as sent.
    pub date: Option<String>,
    /// `ExpiredObjectDeleteMarker`.
    pub delete_markers: Option<bool>,
}

/// A parsed `NoncurrentVersionExpiration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoncurrentExpiration {
    /// `NoncurrentDays`.
    pub days: Option<i32>,
    /// `NewerNoncurrentVersions`.
    pub newer_versions: Option<i32>,
}

impl LifecycleFilter {
    /// How many conditions stand in it.
    pub fn conditions(&self) -> usize {
        usize::from(self.prefix.is_some())
            + self.tags.len()
            + usize::from(self.larger_than.is_some())
            + usize::from(self.smaller_than.is_some())
            + usize::from(self.and.is_some())
    }
}

/// Parses `LifecycleConfiguration`. Of more rules than there may be one is given back too many.
///
/// # Errors
/// [`XmlError::Malformed`], also for none, and [`XmlError::TooLarge`].
pub fn lifecycle_configuration(body: &[u8]) -> Result<Vec<LifecycleRule>, XmlError> {
    let mut cursor = Cursor::new(body, MAX_LIFECYCLE_BYTES)?;
    cursor.root("LifecycleConfiguration")?;
    let mut rules = Vec::new();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Rule" if rules.len() > MAX_LIFECYCLE_RULES => cursor.skip()?,
            "Rule" => rules.push(rule(&mut cursor)?),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    if rules.is_empty() {
        return Err(malformed("no rules"));
    }
    Ok(rules)
}

fn rule(cursor: &mut Cursor<'_>) -> Result<LifecycleRule, XmlError> {
    let mut rule = LifecycleRule::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "ID" => rule.id = Some(cursor.text()?),
            "Status" => rule.status = Some(cursor.text()?),
            "Prefix" => rule.prefix = Some(cursor.text()?),
            "Filter" => rule.filter = Some(filter(cursor, true)?),
            "Expiration" => rule.expiration = Some(expiration(cursor)?),
            "NoncurrentVersionExpiration" => rule.noncurrent = Some(noncurrent(cursor)?),
            "AbortIncompleteMultipartUpload" => rule.abort = Some(abort(cursor)?),
            "Transition" | "NoncurrentVersionTransition" => {
                rule.has_transition = true;
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
    }
    Ok(rule)
}

fn filter(cursor: &mut Cursor<'_>, may_have_and: bool) -> Result<LifecycleFilter, XmlError> {
    let mut found = LifecycleFilter::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Prefix" => found.prefix = Some(cursor.text()?),
            "Tag" => found.tags.push(tag(cursor)?),
            "ObjectSizeGreaterThan" => found.larger_than = Some(number(&cursor.text()?)?),
            "ObjectSizeLessThan" => found.smaller_than = Some(number(&cursor.text()?)?),
            "And" if may_have_and => found.and = Some(Box::new(filter(cursor, false)?)),
            "And" => return Err(malformed("and within and")),
            _ => cursor.skip()?,
        }
    }
    Ok(found)
}

fn expiration(cursor: &mut Cursor<'_>) -> Result<LifecycleExpiration, XmlError> {
    let mut found = LifecycleExpiration::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Days" => found.days = Some(number(&cursor.text()?)?),
            "Date" => found.date = Some(cursor.text()?),
            "ExpiredObjectDeleteMarker" => found.delete_markers = Some(boolean(&cursor.text()?)?),
            _ => cursor.skip()?,
        }
    }
    Ok(found)
}

fn noncurrent(cursor: &mut Cursor<'_>) -> Result<NoncurrentExpiration, XmlError> {
    let mut found = NoncurrentExpiration::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "NoncurrentDays" => found.days = Some(number(&cursor.text()?)?),
            "NewerNoncurrentVersions" => found.newer_versions = Some(number(&cursor.text()?)?),
            _ => cursor.skip()?,
        }
    }
    Ok(found)
}

fn abort(cursor: &mut Cursor<'_>) -> Result<Option<i32>, XmlError> {
    let mut days = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "DaysAfterInitiation" => days = Some(number(&cursor.text()?)?),
            _ => cursor.skip()?,
        }
    }
    Ok(days)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, XmlError> {
    text.trim().parse().map_err(|_| malformed("not a number"))
}

fn boolean(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(malformed("neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rules: &str) -> Result<Vec<LifecycleRule>, XmlError> {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        lifecycle_configuration(body.as_bytes())
    }

    #[test]
    fn a_full_rule_is_read() {
        let rules = parse(
            "<Rule><ID>r</ID><Filter><And><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>\
             <ObjectSizeGreaterThan>1</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status>\
             <Expiration><Days>3</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays>\
             <NewerNoncurrentVersions>4</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
             <AbortIncompleteMultipartUpload><DaysAfterInitiation>5</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>",
        );
        let rule = rules.unwrap().pop().unwrap();
        let and = rule.filter.unwrap().and.unwrap();
        assert_eq!((and.conditions(), and.larger_than), (3, Some(1)));
        assert_eq!(rule.expiration.unwrap().days, Some(3));
        let noncurrent = rule.noncurrent.unwrap();
        assert_eq!(
            (noncurrent.days, noncurrent.newer_versions),
            (Some(2), Some(4))
        );
        assert_eq!(rule.abort, Some(Some(5)));
        assert!(!rule.has_transition);
    }

    #[test]
    fn what_is_no_configuration_is_malformed() {
        for bad in [
            "",
            "<Rule><Expiration><Days>x</Days></Expiration></Rule>",
            "<Rule><Expiration><Days>99999999999</Days></Expiration></Rule>",
            "<Rule><Filter><And><And/></And></Filter></Rule>",
            "<Rule><Filter><Tag><Key>k</Key></Tag></Filter></Rule>",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
