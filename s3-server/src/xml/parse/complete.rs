//! The body of `CompleteMultipartUpload`.

use crate::checksum::{Algorithm, Checksum};

use super::cursor::Cursor;
use super::{XmlError, malformed};

/// Largest body in bytes: ten thousand parts with all their elements.
pub const MAX_COMPLETE_BYTES: usize = 8 * 1024 * 1024;

const MAX_PART_NUMBER: u32 = 10_000;

/// One part, as the client lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletePart {
    /// 1 to 10,000, ascending.
    pub number: u32,
    /// Without quotes.
    pub etag: String,
    /// The checksums that the part must have; usually none or one. One that is not even base64 of
    /// the right length is kept as `Err`: it can't match, and AWS answers `InvalidPart`.
    pub checksums: Vec<Result<Checksum, Algorithm>>,
}

/// Parses `CompleteMultipartUpload` (older clients: `MultipartUpload`).
///
/// # Errors
/// [`XmlError::Malformed`], also for no parts at all, [`XmlError::PartNumber`],
/// [`XmlError::PartOrder`] and [`XmlError::TooLarge`].
pub fn complete_multipart_upload(body: &[u8]) -> Result<Vec<CompletePart>, XmlError> {
    let mut cursor = Cursor::new(body, MAX_COMPLETE_BYTES)?;
    if !matches!(
        cursor.next_child()?,
        Some("CompleteMultipartUpload" | "MultipartUpload")
    ) {
        return Err(malformed("unexpected root element"));
    }
    let mut parts: Vec<CompletePart> = Vec::new();
    while let Some(name) = cursor.next_child()? {
        if name != "Part" {
            cursor.skip()?;
            continue;
        }
        let part = part(&mut cursor)?;
        if parts.last().is_some_and(|last| last.number >= part.number) {
            return Err(XmlError::PartOrder);
        }
        parts.push(part);
    }
    cursor.end()?;
    if parts.is_empty() {
        Err(malformed("no parts"))
    } else {
        Ok(parts)
    }
}

fn part(cursor: &mut Cursor<'_>) -> Result<CompletePart, XmlError> {
    let (mut number, mut etag, mut checksums) = (None, None, Vec::new());
    while let Some(name) = cursor.next_child()? {
        match name {
            "PartNumber" => number = Some(part_number(&cursor.text()?)?),
            "ETag" => etag = Some(cursor.text()?.trim().trim_matches('"').to_owned()),
            _ => match Algorithm::from_element(name) {
                Some(algorithm) => push_checksum(&mut checksums, algorithm, &cursor.text()?),
                None => cursor.skip()?,
            },
        }
    }
    let number = number.ok_or(malformed("part without number"))?;
    let etag = etag.ok_or(malformed("part without etag"))?;
    Ok(CompletePart {
        number,
        etag,
        checksums,
    })
}

fn push_checksum(
    checksums: &mut Vec<Result<Checksum, Algorithm>>,
    algorithm: Algorithm,
    text: &str,
) {
    // Some clients send the element empty when they have no checksum.
    if !text.trim().is_empty() {
        checksums.push(Checksum::from_base64(algorithm, text.trim()).ok_or(algorithm));
    }
}

/// What is no number breaks the schema; a number that no part can have is a wrong argument.
fn part_number(text: &str) -> Result<u32, XmlError> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| malformed("part number is no number"))?;
    let number = u32::try_from(number)
        .ok()
        .filter(|n| (1..=MAX_PART_NUMBER).contains(n));
    number.ok_or_else(|| XmlError::PartNumber {
        value: text.to_owned(),
    })
}
