//! The body of `PutBucketLogging`.

use super::cursor::Cursor;
use super::{MAX_SMALL_BYTES, XmlError, malformed};

/// Where the requests for a bucket are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDestination {
    /// The bucket that gets the logs.
    pub bucket: String,
    /// What their keys begin with.
    pub prefix: String,
    /// What follows in their keys.
    pub format: LogKeyFormat,
    /// Whether somebody is to be granted something on the logs.
    pub has_grants: bool,
}

/// What the keys of logs are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogKeyFormat {
    /// The time of delivery.
    #[default]
    Simple,
    /// Account, region, bucket and day of delivery, then as [`Self::Simple`].
    DeliveryTime,
    /// The same with the day of the requests.
    EventTime,
}

/// Parses `BucketLoggingStatus`; `None` where nothing is to be logged.
///
/// # Errors
/// [`XmlError::Malformed`] and [`XmlError::TooLarge`].
pub fn bucket_logging(body: &[u8]) -> Result<Option<LogDestination>, XmlError> {
    let mut cursor = Cursor::new(body, MAX_SMALL_BYTES)?;
    cursor.root("BucketLoggingStatus")?;
    let mut found = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "LoggingEnabled" if found.is_none() => found = Some(enabled(&mut cursor)?),
            "LoggingEnabled" => return Err(malformed("more than one destination")),
            _ => cursor.skip()?,
        }
    }
    cursor.end()?;
    Ok(found)
}

fn enabled(cursor: &mut Cursor<'_>) -> Result<LogDestination, XmlError> {
    let (mut bucket, mut prefix) = (None, None);
    let (mut format, mut has_grants) = (LogKeyFormat::Simple, false);
    while let Some(name) = cursor.next_child()? {
        match name {
            "TargetBucket" => bucket = Some(cursor.text()?),
            "TargetPrefix" => prefix = Some(cursor.text()?),
            "TargetObjectKeyFormat" => format = key_format(cursor)?,
            "TargetGrants" => {
                has_grants = true;
                cursor.skip()?;
            }
            _ => cursor.skip()?,
        }
    }
    Ok(LogDestination {
        bucket: bucket.ok_or(malformed("no target bucket"))?,
        prefix: prefix.ok_or(malformed("no target prefix"))?,
        format,
        has_grants,
    })
}

fn key_format(cursor: &mut Cursor<'_>) -> Result<LogKeyFormat, XmlError> {
    let mut format = None;
    while let Some(name) = cursor.next_child()? {
        match name {
            "SimplePrefix" => {
                format = Some(LogKeyFormat::Simple);
                cursor.skip()?;
            }
            "PartitionedPrefix" => format = Some(partitioned(cursor)?),
            _ => cursor.skip()?,
        }
    }
    format.ok_or(malformed("no format of keys"))
}

fn partitioned(cursor: &mut Cursor<'_>) -> Result<LogKeyFormat, XmlError> {
    let mut format = LogKeyFormat::DeliveryTime;
    while let Some(name) = cursor.next_child()? {
        match name {
            "PartitionDateSource" => {
                format = match &*cursor.text()? {
                    "EventTime" => LogKeyFormat::EventTime,
                    "DeliveryTime" => LogKeyFormat::DeliveryTime,
                    _ => return Err(malformed("no source of dates")),
                }
            }
            _ => cursor.skip()?,
        }
    }
    Ok(format)
}
