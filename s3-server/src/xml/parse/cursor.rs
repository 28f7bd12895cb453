//! A cursor over untrusted XML: what the parsers are written with.

use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;

use super::{XmlError, malformed};

/// Deepest nesting that is read. S3's deepest request has four levels.
const MAX_DEPTH: usize = 16;

/// Reads elements one by one: enter a child, then take its text, its children, or skip it.
pub(super) struct Cursor<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8], max_bytes: usize) -> Result<Self, XmlError> {
        if body.len() > max_bytes {
            return Err(XmlError::TooLarge {
                max_bytes,
                got_bytes: body.len(),
            });
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("not utf-8"))?;
        // No XML has it, not even as a reference. Other control characters are let through: clients send them raw in keys.
        if text.contains('\0') {
            return Err(malformed("a NUL"));
        }
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, depth: 0 })
    }

    /// Enters the root element, which must have that name.
    pub(super) fn root(&mut self, name: &str) -> Result<(), XmlError> {
        match self.next_child()? {
            Some(found) if found == name => Ok(()),
            _ => Err(malformed("unexpected root element")),
        }
    }

    /// Enters the next child of the current element and returns its name, or leaves the current
    /// element and returns `None`.
    pub(super) fn next_child(&mut self) -> Result<Option<&'a str>, XmlError> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    self.enter()?;
                    return Ok(Some(known_name(start.local_name().as_ref())));
                }
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(None);
                }
                Event::Text(text) if is_blank(&text.xml10_content()) => {}
                Event::Decl(_) | Event::Comment(_) => {}
                _ => return Err(malformed("text or markup between elements")),
            }
        }
    }

    /// Takes the text of the current element and leaves it.
    pub(super) fn text(&mut self) -> Result<String, XmlError> {
        let mut out = String::new();
        loop {
            match self.event()? {
                Event::Text(text) => out.push_str(&text.xml10_content()),
                Event::CData(text) => out.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => out.push(resolve(&reference)?),
                Event::Comment(_) => {}
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(out);
                }
                _ => return Err(malformed("element inside of text")),
            }
        }
    }

    /// Leaves the current element without looking at it.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outer = self.depth - 1;
        while self.depth > outer {
            match self.event()? {
                Event::Start(_) => self.enter()?,
                Event::End(_) => self.depth -= 1,
                Event::GeneralRef(reference) => {
                    resolve(&reference)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that nothing follows the root element.
    pub(super) fn end(mut self) -> Result<(), XmlError> {
        loop {
            match self
                .reader
                .read_event()
                .map_err(|_| malformed("not well-formed"))?
            {
                Event::Eof => return Ok(()),
                Event::Comment(_) => {}
                Event::Text(text) if is_blank(&text.xml10_content()) => {}
                _ => return Err(malformed("something after the root element")),
            }
        }
    }

    fn event(&mut self) -> Result<Event<'a>, XmlError> {
        match self
            .reader
            .read_event()
            .map_err(|_| malformed("not well-formed"))?
        {
            Event::Eof => Err(malformed("ends early")),
            Event::DocType(_) => Err(malformed("document type declaration")),
            Event::End(_) if self.depth == 0 => Err(malformed("unexpected end tag")),
            event => Ok(event),
        }
    }

    fn enter(&mut self) -> Result<(), XmlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(malformed("nested too deeply"))
        } else {
            Ok(())
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// The five entities of XML and numeric references; no other is ever looked up.
fn resolve(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    if let Some(character) = reference
        .resolve_char_ref()
        .map_err(|_| malformed("character reference"))?
    {
        return Ok(character);
    }
    match &*reference.xml10_content() {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(malformed("unknown entity")),
    }
}

const NAMES: &[&str] = &[
    "CreateBucketConfiguration",
    "LocationConstraint",
    "Location",
    "Bucket",
    "Tagging",
    "TagSet",
    "Tags",
    "Tag",
    "Key",
    "Value",
    "Delete",
    "Object",
    "Quiet",
    "VersionId",
    "ETag",
    "LastModifiedTime",
    "Size",
    "CompleteMultipartUpload",
    "MultipartUpload",
    "Part",
    "PartNumber",
    "ChecksumCRC32",
    "ChecksumCRC32C",
    "ChecksumCRC64NVME",
    "ChecksumSHA1",
    "ChecksumSHA256",
    "ChecksumType",
    "VersioningConfiguration",
    "Status",
    "MfaDelete",
    "MFADelete",
    "BucketLoggingStatus",
    "LoggingEnabled",
    "TargetBucket",
    "TargetPrefix",
    "TargetGrants",
    "TargetObjectKeyFormat",
    "SimplePrefix",
    "PartitionedPrefix",
    "PartitionDateSource",
    "CORSConfiguration",
    "CORSRule",
    "ID",
    "AllowedOrigin",
    "AllowedMethod",
    "AllowedHeader",
    "ExposeHeader",
    "MaxAgeSeconds",
    "ObjectLockConfiguration",
    "ObjectLockEnabled",
    "Rule",
    "DefaultRetention",
    "DefaultEventHold",
    "Mode",
    "Days",
    "Years",
    "Retention",
    "RetainUntilDate",
    "EventHold",
    "EventHoldDuration",
    "LegalHold",
    "NotificationConfiguration",
    "TopicConfiguration",
    "QueueConfiguration",
    "CloudFunctionConfiguration",
    "EventBridgeConfiguration",
    "Topic",
    "Queue",
    "CloudFunction",
    "Event",
    "Id",
    "S3Key",
    "FilterRule",
    "Name",
    "LifecycleConfiguration",
    "ID",
    "Prefix",
    "Filter",
    "And",
    "ObjectSizeGreaterThan",
    "ObjectSizeLessThan",
    "Expiration",
    "Date",
    "ExpiredObjectDeleteMarker",
    "NoncurrentVersionExpiration",
    "NoncurrentDays",
    "NewerNoncurrentVersions",
    "AbortIncompleteMultipartUpload",
    "DaysAfterInitiation",
    "Transition",
    "NoncurrentVersionTransition",
    "PublicAccessBlockConfiguration",
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
    "OwnershipControls",
    "ObjectOwnership",
    "ServerSideEncryptionConfiguration",
    "ApplyServerSideEncryptionByDefault",
    "SSEAlgorithm",
    "KMSMasterKeyID",
    "BucketKeyEnabled",
    "BlockedEncryptionTypes",
    "EncryptionType",
    "AccessControlPolicy",
    "AccessControlList",
    "Owner",
    "Grant",
    "Grantee",
    "Permission",
    "URI",
    "EmailAddress",
];

/// The name as a constant, so that the cursor is free to move on; unknown names become empty.
fn known_name(name: &str) -> &'static str {
    NAMES
        .iter()
        .copied()
        .find(|n| *n == name)
        .unwrap_or_default()
}
