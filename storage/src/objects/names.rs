//! Names, parsed once at the edge: what holds a value of these types need not check it again.

use std::{fmt, str::FromStr, sync::Arc};

/// The most bytes an object's key may have.
pub const MAX_KEY_BYTES: usize = 1024;
/// The most parts an upload may have, which is also the highest part number.
pub const MAX_PARTS: u16 = 10_000;

/// A name that S3 does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a valid bucket name; the text says which rule it breaks.
    #[error("invalid bucket name: {0}")]
    Bucket(&'static str),
    /// A key without a byte.
    #[error("object key is empty")]
    KeyEmpty,
    /// A key over [`MAX_KEY_BYTES`].
    #[error("object key has {bytes} bytes, {MAX_KEY_BYTES} are allowed")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not an entity tag that this store could have given.
    #[error("not an entity tag of this store")]
    ETag,
    /// Not an upload identifier that this store could have given.
    #[error("not an upload identifier of this store")]
    UploadId,
    /// Not a version identifier that this store could have given.
    #[error("not a version identifier of this store")]
    VersionId,
    /// Not the identifier of an account.
    #[error("an account id has twelve digits")]
    AccountId,
}

/// The name of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

impl BucketName {
    /// Checks `name` against S3's rules for general purpose buckets.
    ///
    /// # Errors
    /// [`NameError::Bucket`] says which rule is broken.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match broken_bucket_rule(name) {
            Some(rule) => Err(NameError::Bucket(rule)),
            None => Ok(Self(name.into())),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account: who owns buckets. Twelve decimal digits, as AWS's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    const DIGITS: usize = 12;

    /// The account of this number; `None` over twelve digits.
    pub fn from_number(number: u64) -> Option<Self> {
        (number < 10_u64.pow(12)).then_some(Self(number))
    }

    /// As a number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl FromStr for AccountId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_good = text.len() == Self::DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        let number = is_good.then(|| text.parse().ok()).flatten();
        number.map(Self).ok_or(NameError::AccountId)
    }
}

const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

fn broken_bucket_rule(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    let is_alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(3..=63).contains(&bytes.len()) {
        return Some("3 to 63 characters are allowed");
    }
    if !bytes
        .iter()
        .all(|b| is_alphanumeric(b) || matches!(b, b'-' | b'.'))
    {
        return Some("only lower-case letters, digits, dots and hyphens are allowed");
    }
    if ![bytes.first(), bytes.last()]
        .into_iter()
        .flatten()
        .all(is_alphanumeric)
    {
        return Some("it must begin and end with a letter or digit");
    }
    if name.contains("..") {
        return Some("two dots in a row are not allowed");
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() || looks_like_ipv4(name) {
        return Some("it must not look like an IP address");
    }
    let reserved = RESERVED_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || RESERVED_SUFFIXES
            .iter()
            .any(|suffix| name.ends_with(suffix));
    reserved.then_some("the prefix or suffix is reserved")
}

/// Four groups of digits, also those that the standard library's parser refuses (`010.1.1.1`, `999.1.1.1`).
fn looks_like_ipv4(name: &str) -> bool {
    let mut groups = 0;
    name.split('.').all(|group| {
        groups += 1;
        !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit())
    }) && groups == 4
}

/// The key of an object: opaque UTF-8 of 1 to [`MAX_KEY_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Checks the length of `key`; nothing else is forbidden and nothing is normalised.
    ///
    /// # Errors
    /// [`NameError::KeyEmpty`], [`NameError::KeyTooLong`].
    pub fn parse(key: &str) -> Result<Self, NameError> {
        match key.len() {
            0 => Err(NameError::KeyEmpty),
            1..=MAX_KEY_BYTES => Ok(Self(key.into())),
            bytes => Err(NameError::KeyTooLong { bytes }),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entity tag: the MD5 of the body or, for multipart objects, of the parts' MD5s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag {
    /// The digest.
    pub md5: [u8; 16],
    /// Number of parts; 0 for an object that was put in one piece.
    pub parts: u16,
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.md5 {
            write!(f, "{byte:02x}")?;
        }
        if self.parts > 0 {
            write!(f, "-{}", self.parts)?;
        }
        Ok(())
    }
}

impl FromStr for ETag {
    type Err = NameError;

    /// Accepts the tag with or without quotes, in either case.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        let bare = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text);
        let (digest, parts) = bare.split_once('-').unwrap_or((bare, "0"));
        let md5 = u128_from_hex(digest).ok_or(NameError::ETag)?.to_be_bytes();
        let parts = parts.parse().map_err(|_| NameError::ETag)?;
        Ok(Self { md5, parts })
    }
}

/// Exactly 32 hexadecimal digits.
fn u128_from_hex(text: &str) -> Option<u128> {
    let is_digest = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// The number of a part, 1 to [`MAX_PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartNumber(u16);

impl PartNumber {
    /// `None` if `number` is out of range.
    pub fn new(number: u32) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (1..=MAX_PARTS).contains(&number).then_some(Self(number))
    }

    /// As a number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a multipart upload. Grows with the time of creation; cannot be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId {
    /// Unique number, the key of its parts.
    pub(super) number: u64,
    /// Random bits.
    pub(super) secret: u64,
}

impl UploadId {
    /// As it stands in keys and records: big-endian, so that order is kept.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.number) << 64) | u128::from(self.secret)).to_be_bytes()
    }

    /// The reverse of [`Self::to_bytes`].
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        let [number, secret] = halves(u128::from_be_bytes(bytes));
        Self { number, secret }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half has 64 bits")]
fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.number, self.secret)
    }
}

impl FromStr for UploadId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bits = u128_from_hex(text).ok_or(NameError::UploadId)?;
        Ok(Self::from_bytes(bits.to_be_bytes()))
    }
}

/// Names a version of an object. Numbers grow with the time of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionId {
    /// The one that is written while versioning is off or suspended: `null`.
    Null,
    /// Any other.
    Number(u64),
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Number(number) => write!(f, "{number:016x}{:016x}", check(*number)),
        }
    }
}

impl FromStr for VersionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "null" {
            return Ok(Self::Null);
        }
        let [number, sum] = halves(u128_from_hex(text).ok_or(NameError::VersionId)?);
        let is_own = sum == check(number) && !text.contains(|c: char| c.is_ascii_uppercase());
        is_own
            .then_some(Self::Number(number))
            .ok_or(NameError::VersionId)
    }
}

/// Tells identifiers of this store from those of others, which are of the same length.
fn check(number: u64) -> u64 {
    let mixed = (number ^ (number >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_bucket_names_that_s3_accepts() {
        for name in [
            "abc",
            "a.b-c",
            "0-0",
            "my.bucket.name",
            "1.2.3",
            "1.2.3.4.5",
            &"a".repeat(63),
        ] {
            assert_eq!(BucketName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_bucket_names_that_s3_refuses() {
        let names = [
            "",
            "ab",
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "ab.",
            "a..b",
            "192.168.5.4",
            "010.1.1.1",
            "999.1.1.1",
            "xn--abc",
            "sthree-abc",
            "amzn-s3-demo-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "abc.mrap",
            "abc--x-s3",
            "a/b",
            "a b",
            "aä",
            &"a".repeat(64),
        ];
        for name in names {
            assert!(BucketName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn keys_are_bounded_and_otherwise_free() {
        assert_eq!(ObjectKey::parse(""), Err(NameError::KeyEmpty));
        assert!(ObjectKey::parse(&"a".repeat(1024)).is_ok());
        let too_long = ObjectKey::parse(&"ä".repeat(513));
        assert_eq!(too_long, Err(NameError::KeyTooLong { bytes: 1026 }));
        for key in ["/", "a//b", "..", "a\0b", "\u{10ffff}", " "] {
            assert_eq!(ObjectKey::parse(key).unwrap().as_str(), key);
        }
    }

    #[test]
    fn part_numbers_have_bounds() {
        assert_eq!(PartNumber::new(0), None);
        assert_eq!(PartNumber::new(1).map(PartNumber::get), Some(1));
        assert_eq!(PartNumber::new(10_000).map(PartNumber::get), Some(10_000));
        assert_eq!(PartNumber::new(10_001), None);
        assert_eq!(PartNumber::new(65_537), None);
    }

    proptest! {
        #[test]
        fn entity_tags_survive_the_round_trip(md5: [u8; 16], parts: u16, quoted: bool) {
            let etag = ETag { md5, parts };
            let text = if quoted { format!("\"{etag}\"") } else { etag.to_string() };
            prop_assert_eq!(text.parse(), Ok(etag));
        }

        #[test]
        fn upload_ids_survive_the_round_trip_and_keep_order(a: [u64; 2], b: [u64; 2]) {
            let [a, b] = [a, b].map(|[number, secret]| UploadId { number, secret });
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(UploadId::from_bytes(a.to_bytes()), a);
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }

        #[test]
        fn version_ids_survive_the_round_trip(number: u64) {
            for id in [VersionId::Null, VersionId::Number(number)] {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            drop(text.parse::<VersionId>());
            drop(text.parse::<ETag>());
            drop(text.parse::<UploadId>());
            drop(BucketName::parse(&text));
        }
    }
}
