//! The body of `PutBucketCors`.

use super::cursor::Cursor;
use super::{MAX_SMALL_BYTES, XmlError, malformed};
use crate::cors::{CorsRule, CorsRules, MAX_RULES};

/// Parses `CORSConfiguration`; what its texts say is not checked.
///
/// # Errors
/// [`XmlError::Malformed`], also for more than a hundred rules, and [`XmlError::TooLarge`].
pub fn cors_configuration(body: &[u8]) -> Result<CorsRules, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("CORSConfiguration")?;
    let mut rules = Vec::new();
    while let Some(name) = cursor.next_child()? {
        match name {
            "CORSRule" if rules.len() == MAX_RULES => return Err(malformed("too many rules")),
            "CORSRule" => rules.push(rule(&mut cursor)?),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    Ok(CorsRules(rules))
}

fn rule(cursor: &mut Cursor<'_>) -> Result<CorsRule, XmlError> {
    let mut rule = CorsRule::default();
    while let Some(name) = cursor.next_child()? {
        match name {
            "ID" => rule.id = Some(cursor.text()?),
            "AllowedOrigin" => rule.origins.push(cursor.text()?),
            "AllowedMethod" => rule.methods.push(cursor.text()?),
            "AllowedHeader" => rule.headers.push(cursor.text()?),
            "ExposeHeader" => rule.exposed.push(cursor.text()?),
            "MaxAgeSeconds" => {
                let seconds = cursor.text()?.trim().parse();
                rule.max_age_seconds = Some(seconds.map_err(|_| malformed("seconds"))?);
            }
            _ => cursor.skip()?,
        }
    }
    Ok(rule)
}
