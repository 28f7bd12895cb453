//! Tags of objects.

use super::{BucketName, Happened, ObjectKey, Store, StoreError, VersionId, record::Tags};

/// Tags that an object may have.
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY_CHARS: usize = 128;
const MAX_TAG_VALUE_CHARS: usize = 256;

impl Tags {
    /// Whether an object may have these tags.
    ///
    /// # Errors
    /// [`StoreError::InvalidTags`] says why not.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.broken_rule() {
            Some(rule) => Err(StoreError::InvalidTags(rule)),
            None => Ok(()),
        }
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let Self(tags) = self;
        if tags.len() > MAX_TAGS {
            return Some("an object may have 10 tags");
        }
        let fits = |text: &str, chars: usize| text.chars().nth(chars).is_none();
        if !tags
            .iter()
            .all(|(key, _)| !key.is_empty() && fits(key, MAX_TAG_KEY_CHARS))
        {
            return Some("a tag's key has 1 to 128 characters");
        }
        if !tags
            .iter()
            .all(|(_, value)| fits(value, MAX_TAG_VALUE_CHARS))
        {
            return Some("a tag's value has at most 256 characters");
        }
        let repeats = tags
            .iter()
            .enumerate()
            .any(|(i, (key, _))| tags[..i].iter().any(|(k, _)| k == key));
        repeats.then_some("a tag's key is given twice")
    }
}

impl Store {
    /// Replaces the tags of an object; empty removes them. Atomic; neither data nor time of modification change.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBucket`], [`StoreError::NoSuchKey`], [`StoreError::DeleteMarker`], [`StoreError::InvalidTags`].
    pub async fn set_tags(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        tags: Tags,
    ) -> Result<(), StoreError> {
        self.set_version_tags(bucket, key, None, tags).await
    }

    /// The same of a version of an object; `None`: the latest.
    ///
    /// # Errors
    /// As [`Self::set_tags`], and [`StoreError::NoSuchVersion`].
    pub async fn set_version_tags(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        tags: Tags,
    ) -> Result<(), StoreError> {
        tags.check()?;
        self.modify_object(bucket, key, version, Some(Happened::Tagged), |found| {
            found.record.tags = tags.clone();
            Ok(())
        })
        .await
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        Tags(
            pairs
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    #[test]
    fn limits_of_tags_are_those_of_s3() {
        assert!(tags(&[]).check().is_ok());
        assert!(
            tags(&[(&"ä".repeat(128), &"ä".repeat(256)), ("b", "")])
                .check()
                .is_ok()
        );
        assert!(tags(&[(&"k".repeat(129), "")]).check().is_err());
        assert!(tags(&[("k", &"v".repeat(257))]).check().is_err());
        assert!(tags(&[("", "v")]).check().is_err());
        assert!(tags(&[("k", "v"), ("k", "w")]).check().is_err());
        let eleven: Vec<_> = (0..11).map(|i| (i.to_string(), String::new())).collect();
        assert!(Tags(eleven[..10].to_vec()).check().is_ok());
        assert!(Tags(eleven).check().is_err());
    }
}
