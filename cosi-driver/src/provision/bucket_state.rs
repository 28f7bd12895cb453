//! What the tags of a bucket say about it.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Parameters;
use crate::{backend::Tags, parameters::text};

const DRIVER: &str = "cosi.larder.dev/driver";
const PARAMETERS: &str = "cosi.larder.dev/parameters";
const CONFIGURED: &str = "cosi.larder.dev/configured";
const TRASHED_UNTIL: &str = "cosi.larder.dev/trashed-until";

/// A bucket that a driver made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketState {
    /// What it was made with; `None` where somebody has changed the text.
    pub(super) parameters: Option<Parameters>,
    /// Whether everything that the parameters ask for was set.
    pub(super) is_configured: bool,
    /// Until when it is in the trash.
    pub(super) trashed_until: Option<OffsetDateTime>,
}

impl BucketState {
    /// `None`: this driver has not made it.
    pub(super) fn of(driver: &str, tags: &Tags) -> Option<Self> {
        let is_ours = tags.get(DRIVER).is_some_and(|found| found == driver);
        is_ours.then(|| Self {
            parameters: text::decode(&text::get(tags, PARAMETERS)),
            is_configured: tags.contains_key(CONFIGURED),
            trashed_until: tags.get(TRASHED_UNTIL).and_then(|text| instant(text)),
        })
    }
}

/// Tags of a new bucket.
pub(super) fn new_tags(driver: &str, parameters: &Parameters, own: &Tags) -> Tags {
    let mut tags = own.clone();
    tags.insert(DRIVER.to_owned(), driver.to_owned());
    text::put(&mut tags, PARAMETERS, &text::encode(parameters));
    tags
}

pub(super) fn configured(tags: &mut Tags) {
    tags.insert(CONFIGURED.to_owned(), "true".to_owned());
}

/// Marks a bucket as being in the trash, or not any more.
pub(super) fn set_trashed(tags: &mut Tags, until: Option<OffsetDateTime>) {
    match until {
        Some(until) => tags.insert(TRASHED_UNTIL.to_owned(), instant_text(until)),
        None => tags.remove(TRASHED_UNTIL),
    };
}

/// `2026-11-29T14:00:00Z`.
pub(crate) fn instant_text(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_default()
}

pub(super) fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
