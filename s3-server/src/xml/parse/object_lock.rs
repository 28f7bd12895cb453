//! The bodies of the object lock operations. What values mean is the operations' matter.

use super::{MAX_SMALL_BYTES, XmlError, cursor::Cursor, malformed};

/// A parsed `ObjectLockConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockConfiguration {
    /// `Enabled`, if the client is right.
    pub enabled: Option<String>,
    /// The rule for new versions, if there is one.
    pub default_retention: Option<DefaultRetention>,
}

/// A parsed `DefaultRetention`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultRetention {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: Option<String>,
    /// A number of days.
    pub days: Option<i64>,
    /// A number of years.
    pub years: Option<i64>,
    /// It asks for an event hold, which Larder does not have.
    pub has_event_hold: bool,
}

/// A parsed `Retention`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: Option<String>,
    /// Until when, as sent.
    pub until: Option<String>,
    /// It asks for an event hold, which Larder does not have.
    pub has_event_hold: bool,
}

/// Parses `ObjectLockConfiguration`.
///
/// # Errors
/// [`XmlError::Malformed`], also where a rule has no default retention, and [`XmlError::TooLarge`].
pub fn object_lock_configuration(body: &[u8]) -> Result<LockConfiguration, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("ObjectLockConfiguration")?;
    let mut configuration = LockConfiguration::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "ObjectLockEnabled" => configuration.enabled = Some(cursor.text()?),
            "Rule" => configuration.default_retention = Some(rule(&mut cursor)?),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    Ok(configuration)
}

fn rule(cursor: &mut Cursor<'_>) -> Result<DefaultRetention, XmlError> {
    let mut default = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "DefaultRetention" => default = Some(default_retention(cursor)?),
            _ => cursor.skip()?,
        }
    }
    default.ok_or(malformed("rule without a default retention"))
}

fn default_retention(cursor: &mut Cursor<'_>) -> Result<DefaultRetention, XmlError> {
    let mut default = DefaultRetention::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Mode" => default.mode = Some(cursor.text()?),
            "Days" => default.days = Some(number(&cursor.text()?)?),
            "Years" => default.years = Some(number(&cursor.text()?)?),
            "DefaultEventHold" => {
                default.has_event_hold = true;
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
    }
    Ok(default)
}

fn number(text: &str) -> Result<i64, XmlError> {
    text.trim()
        .parse()
        .map_err(|_| malformed("period is not a number"))
}

/// Parses `Retention`, which may be empty.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn retention(body: &[u8]) -> Result<Retention, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("Retention")?;
    let mut retention = Retention::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "Mode" => retention.mode = Some(cursor.text()?),
            "RetainUntilDate" => retention.until = Some(cursor.text()?),
            "EventHold" | "EventHoldDuration" => {
                retention.has_event_hold = true;
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    Ok(retention)
}

/// Parses `LegalHold` and returns its status.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn legal_hold(body: &[u8]) -> Result<String, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("LegalHold")?;
    let mut status = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "Status" => status = Some(cursor.text()?),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    status.ok_or(malformed("legal hold without a status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_may_have_a_rule() {
        let bare = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
        let bare = object_lock_configuration(bare).expect("valid");
        assert_eq!(bare.enabled.as_deref(), Some("Enabled"));
        assert_eq!(bare.default_retention, None);
        let body = b"<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
            <Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>-3</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
        let default = object_lock_configuration(body)
            .expect("valid")
            .default_retention;
        let default = default.expect("a rule");
        assert_eq!(default.mode.as_deref(), Some("GOVERNANCE"));
        assert_eq!((default.days, default.years), (Some(-3), None));
    }

    #[test]
    fn what_is_no_configuration_is_malformed() {
        for bad in [
            "",
            "<Retention/>",
            "<ObjectLockConfiguration><Rule/></ObjectLockConfiguration>",
            "<ObjectLockConfiguration><Rule><DefaultRetention><Days>x</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
        ] {
            assert!(object_lock_configuration(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn retentions_and_holds() {
        assert_eq!(retention(b"<Retention/>"), Ok(Retention::default()));
        let full =
            retention(b"<Retention><Mode>X</Mode><RetainUntilDate>Y</RetainUntilDate></Retention>");
        let full = full.expect("valid");
        assert_eq!(
            (full.mode.as_deref(), full.until.as_deref()),
            (Some("X"), Some("Y"))
        );
        assert_eq!(
            legal_hold(b"<LegalHold><Status>ON</Status></LegalHold>"),
            Ok("ON".to_owned())
        );
        assert!(legal_hold(b"<LegalHold/>").is_err());
    }
}
