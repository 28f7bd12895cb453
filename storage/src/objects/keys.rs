//! The keys of the metadata key space that belong to S3's semantics.
//!
//! ```text
//! a i <account>                                account
//! a k <access key>                             whose access key it is
//! a q <account>                                how much may be in all its buckets
//! k <key id>                                   what a master key is known by
//! i <account> <kind> <name>                    identity of an account, or when an access key was last used
//! b <bucket name>                              bucket
//! o <bucket id> <key>                          an object, or where its latest version is
//! v <bucket id> <key> 00 00                    null version of an object that has versions
//! v <bucket id> <key> 00 01 <!number>          version, the newest first
//! u <bucket id> <key> 00 01 <upload id>        upload in progress
//! p <upload number> <part number>              part
//! d <bucket id> <number> <page>                page of a document that a bucket is configured with
//! g <id>                                       garbage task
//! n <queue> <number>                           event that waits
//! ```
//!
//! Identifiers are big-endian (64 bits, an upload id 128, a part number 16), so that keys sort as what they name.
//! In `u` and `v` keys a NUL of the object's key is written as `00 ff`, so that what belongs to a key comes before what belongs to longer
//! keys. A version's number stands there with all bits turned round.

use bytes::Bytes;

use super::{
    identities::{IdentityKind, IdentityName},
    names::{AccountId, BucketName, ObjectKey, PartNumber, UploadId, VersionId},
};

const ACCOUNTS: [u8; 2] = *b"ai";
const ACCESS_KEYS: [u8; 2] = *b"ak";
const ACCOUNT_QUOTAS: [u8; 2] = *b"aq";
const MASTER_KEY: u8 = b'k';
const IDENTITY: u8 = b'i';
/// First byte of a bucket's key.
pub(super) const BUCKET: u8 = b'b';
const OBJECT: u8 = b'o';
const UPLOAD: u8 = b'u';
const VERSION: u8 = b'v';
const PART: u8 = b'p';
const DOCUMENT: u8 = b'd';
const GARBAGE: u8 = b'g';
const EVENT: u8 = b'n';

/// Length of what precedes the object's key in an `o` or `u` key.
pub(super) const BASE_BYTES: usize = 9;
const UPLOAD_SEPARATOR: [u8; 2] = [0, 1];
/// Comes after every upload of a key.
const AFTER_UPLOADS: [u8; 2] = [0, 2];
const UPLOAD_TAIL_BYTES: usize = 18;
const NULL_VERSION_TAIL: [u8; 2] = [0, 0];
const VERSION_SEPARATOR: [u8; 2] = [0, 1];
/// Comes after every version of a key.
const AFTER_VERSIONS: [u8; 2] = [0, 2];
const VERSION_TAIL_BYTES: usize = 10;

/// An account.
pub(super) fn account(id: AccountId) -> Bytes {
    [&ACCOUNTS[..], &id.number().to_be_bytes()].concat().into()
}

/// The range of all accounts.
pub(super) fn all_accounts() -> (Vec<u8>, Vec<u8>) {
    let [space, kind] = ACCOUNTS;
    (ACCOUNTS.to_vec(), vec![space, kind + 1])
}

/// The account of an account's key; `None` if it is none.
pub(super) fn parse_account(key: &[u8]) -> Option<AccountId> {
    let number = key.strip_prefix(&ACCOUNTS)?.try_into().ok()?;
    AccountId::from_number(u64::from_be_bytes(number))
}

/// An access key.
pub(super) fn access_key(name: &str) -> Bytes {
    [&ACCESS_KEYS[..], name.as_bytes()].concat().into()
}

/// How much may be in all buckets of an account.
pub(super) fn account_quota(id: AccountId) -> Bytes {
    [&ACCOUNT_QUOTAS[..], &id.number().to_be_bytes()]
        .concat()
        .into()
}

/// Whether a key says how much may be in the buckets of an account.
pub(super) fn is_account_quota(key: &[u8]) -> bool {
    key.starts_with(&ACCOUNT_QUOTAS)
}

/// What a master key is known by.
pub(super) fn master_key(id: &str) -> Bytes {
    [&[MASTER_KEY], id.as_bytes()].concat().into()
}

/// The range of all master keys.
pub(super) fn all_master_keys() -> (Vec<u8>, Vec<u8>) {
    (vec![MASTER_KEY], vec![MASTER_KEY + 1])
}

/// The master key's id in a `k` key; `None` if it is none.
pub(super) fn parse_master_key(key: &[u8]) -> Option<String> {
    String::from_utf8(key.strip_prefix(&[MASTER_KEY])?.to_vec()).ok()
}

/// An identity.
pub(super) fn identity(name: &IdentityName) -> Bytes {
    let tail = [&[name.kind.code()], name.as_str().as_bytes()].concat();
    named(IDENTITY, name.account.number(), &tail, &[])
}

/// Which identity an `i` key is of; `None` if it is none.
pub(super) fn parse_identity(key: &[u8]) -> Option<IdentityName> {
    let (base, rest) = key.split_at_checked(BASE_BYTES)?;
    let number = base.strip_prefix(&[IDENTITY])?.try_into().ok()?;
    let account = AccountId::from_number(u64::from_be_bytes(number))?;
    let (&code, name) = rest.split_first()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    let kind = IdentityKind::from_code(code)?;
    Some(IdentityName::of_parsed(account, kind, name))
}

/// The range of all identities of all accounts.
pub(super) fn all_identities() -> (Vec<u8>, Vec<u8>) {
    (vec![IDENTITY], vec![IDENTITY + 1])
}

/// The range of the identities of an account.
pub(super) fn identities_of(account: AccountId) -> (Vec<u8>, Vec<u8>) {
    let from = base(IDENTITY, account.number());
    let to = successor(&from);
    (from, to)
}

/// A bucket.
pub(super) fn bucket(name: &BucketName) -> Bytes {
    bucket_prefix(name.as_str())
}

/// What the keys of buckets that begin with `prefix` begin with.
pub(super) fn bucket_prefix(prefix: &str) -> Bytes {
    [&[BUCKET], prefix.as_bytes()].concat().into()
}

/// An object.
pub(super) fn object(bucket_id: u64, key: &ObjectKey) -> Bytes {
    named(OBJECT, bucket_id, key.as_str().as_bytes(), &[])
}

/// The bucket of an `o` or `v` key; `None` if it is none.
pub(super) fn bucket_of_version(key: &[u8]) -> Option<u64> {
    let (base, _) = key.split_at_checked(BASE_BYTES)?;
    let (&space, id) = base.split_first()?;
    let id = u64::from_be_bytes(id.try_into().ok()?);
    [OBJECT, VERSION].contains(&space).then_some(id)
}

/// Bucket and object's key of an `o` key; `None` if it is none.
pub(super) fn parse_object(key: &[u8]) -> Option<(u64, String)> {
    let (base, name) = key.split_at_checked(BASE_BYTES)?;
    let bucket_id = u64::from_be_bytes(base.strip_prefix(&[OBJECT])?.try_into().ok()?);
    Some((bucket_id, String::from_utf8(name.to_vec()).ok()?))
}

/// What all objects of a bucket begin with.
pub(super) fn objects(bucket_id: u64) -> Vec<u8> {
    base(OBJECT, bucket_id)
}

/// A version of an object that has versions.
pub(super) fn version(bucket_id: u64, key: &ObjectKey, id: VersionId) -> Bytes {
    let name = escape(key.as_str());
    match id {
        VersionId::Null => named(VERSION, bucket_id, &name, &NULL_VERSION_TAIL),
        VersionId::Number(number) => {
            let tail = [&VERSION_SEPARATOR[..], &(!number).to_be_bytes()].concat();
            named(VERSION, bucket_id, &name, &tail)
        }
    }
}

/// What the versions of all keys of a bucket that begin with `prefix` begin with.
pub(super) fn versions(bucket_id: u64, prefix: &str) -> Vec<u8> {
    let mut key = base(VERSION, bucket_id);
    key.extend_from_slice(&escape(prefix));
    key
}

/// The range of the versions of `key` with numbers below `below`, the newest first; the null version is not among them.
pub(super) fn versions_below(bucket_id: u64, key: &str, below: u64) -> (Vec<u8>, Vec<u8>) {
    let mut from = versions(bucket_id, key);
    let to = [&from[..], &AFTER_VERSIONS].concat();
    from.extend_from_slice(&VERSION_SEPARATOR);
    from.extend_from_slice(&(!below).to_be_bytes());
    from.push(0);
    (from, to)
}

/// Bucket, object's key and identifier of a `v` key; `None` if it is none.
pub(super) fn parse_version(key: &[u8]) -> Option<(u64, String, VersionId)> {
    let (base, rest) = key.split_at_checked(BASE_BYTES)?;
    let bucket_id = u64::from_be_bytes(base.strip_prefix(&[VERSION])?.try_into().ok()?);
    // A number may end as the tail of a null version does: whichever leaves a name is right, and only one can.
    let numbered = rest
        .split_at_checked(
            rest.len()
                .checked_sub(VERSION_TAIL_BYTES)
                .unwrap_or(usize::MAX),
        )
        .and_then(|(name, tail)| {
            let number = tail.strip_prefix(&VERSION_SEPARATOR)?.try_into().ok()?;
            Some((
                unescape(name)?,
                VersionId::Number(!u64::from_be_bytes(number)),
            ))
        });
    let (name, id) = numbered.or_else(|| {
        let name = rest.strip_suffix(&NULL_VERSION_TAIL)?;
        Some((unescape(name)?, VersionId::Null))
    })?;
    Some((bucket_id, name, id))
}

/// Bucket and object's key of an `o` or `v` key; `None` if it is neither.
pub(super) fn parse_named(key: &[u8]) -> Option<(u64, String)> {
    parse_object(key).or_else(|| parse_version(key).map(|(bucket, name, _)| (bucket, name)))
}

/// An upload.
pub(super) fn upload(bucket_id: u64, key: &ObjectKey, id: &UploadId) -> Bytes {
    let tail = [&UPLOAD_SEPARATOR[..], &id.to_bytes()].concat();
    named(UPLOAD, bucket_id, &escape(key.as_str()), &tail)
}

/// What the uploads of all keys of a bucket that begin with `prefix` begin with.
pub(super) fn uploads(bucket_id: u64, prefix: &str) -> Vec<u8> {
    let mut key = base(UPLOAD, bucket_id);
    key.extend_from_slice(&escape(prefix));
    key
}

/// The range of all objects of all buckets.
pub(super) fn all_objects() -> (Vec<u8>, Vec<u8>) {
    (vec![OBJECT], vec![OBJECT + 1])
}

/// The range of all versions of all objects that have versions.
pub(super) fn all_versions() -> (Vec<u8>, Vec<u8>) {
    (vec![VERSION], vec![VERSION + 1])
}

/// The range of all parts of all uploads.
pub(super) fn all_parts() -> (Vec<u8>, Vec<u8>) {
    (vec![PART], vec![PART + 1])
}

/// The range of all uploads of all buckets.
pub(super) fn all_uploads() -> (Vec<u8>, Vec<u8>) {
    (vec![UPLOAD], vec![UPLOAD + 1])
}

/// The position after the upload `id` of `key`, or after all its uploads.
pub(super) fn after_upload(bucket_id: u64, key: &str, id: Option<&UploadId>) -> Vec<u8> {
    let mut position = uploads(bucket_id, key);
    match id {
        None => position.extend_from_slice(&AFTER_UPLOADS),
        Some(id) => {
            position.extend_from_slice(&UPLOAD_SEPARATOR);
            position.extend_from_slice(&id.to_bytes());
            position.push(0);
        }
    }
    position
}

/// Bucket, object's key and identifier of an `u` key; `None` if it is none.
pub(super) fn parse_upload(key: &[u8]) -> Option<(u64, String, UploadId)> {
    let (head, tail) = key.split_at_checked(key.len().checked_sub(UPLOAD_TAIL_BYTES)?)?;
    let (base, name) = head.split_at_checked(BASE_BYTES)?;
    let id = UploadId::from_bytes(tail.strip_prefix(&UPLOAD_SEPARATOR)?.try_into().ok()?);
    let bucket_id = u64::from_be_bytes(base.strip_prefix(&[UPLOAD])?.try_into().ok()?);
    Some((bucket_id, unescape(name)?, id))
}

/// With `00 ff` for each NUL, so that what follows a name (`00 01`) sorts before each continuation of it.
fn escape(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name.as_bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out
}

fn unescape(bytes: &[u8]) -> Option<String> {
    let mut name = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte == 0 && rest.next() != Some(&0xff) {
            return None;
        }
        name.push(byte);
    }
    String::from_utf8(name).ok()
}

/// A page of a document of a bucket.
pub(super) fn document(bucket_id: u64, number: u64, page: u16) -> Bytes {
    let tail = [&number.to_be_bytes()[..], &page.to_be_bytes()].concat();
    named(DOCUMENT, bucket_id, &tail, &[])
}

/// A part.
pub(super) fn part(upload_number: u64, number: PartNumber) -> Bytes {
    named(PART, upload_number, &number.get().to_be_bytes(), &[])
}

/// The range of an upload's parts with numbers above `after`.
pub(super) fn parts(upload_number: u64, after: u16) -> (Vec<u8>, Vec<u8>) {
    let mut from = base(PART, upload_number);
    let to = successor(&from);
    from.extend_from_slice(&after.to_be_bytes());
    from.push(0);
    (from, to)
}

/// The part number of a `p` key.
pub(super) fn parse_part(key: &[u8]) -> Option<PartNumber> {
    let number = key.get(BASE_BYTES..)?.try_into().ok()?;
    PartNumber::new(u32::from(u16::from_be_bytes(number)))
}

/// The upload number of a `p` key; `None` if it is none.
pub(super) fn upload_of_part(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(&[PART])?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*number))
}

/// Whether this is the key of a garbage task.
pub(super) fn is_garbage(key: &[u8]) -> bool {
    key.first() == Some(&GARBAGE)
}

/// Whether the record of this key names a blob that is somebody's data: an object's, a version's, or a part's.
pub(super) fn names_blobs(key: &[u8]) -> bool {
    matches!(key.first(), Some(&OBJECT | &VERSION | &PART))
}

/// A garbage task.
pub(super) fn garbage(id: u64) -> Bytes {
    base(GARBAGE, id).into()
}

/// The range of all garbage tasks.
pub(super) fn all_garbage() -> (Vec<u8>, Vec<u8>) {
    (vec![GARBAGE], vec![GARBAGE + 1])
}

/// An event that waits in a queue.
pub(super) fn event(queue: u64, number: u64) -> Bytes {
    named(EVENT, queue, &number.to_be_bytes(), &[])
}

/// The range of the events of a queue.
pub(super) fn events(queue: u64) -> (Vec<u8>, Vec<u8>) {
    let from = base(EVENT, queue);
    let to = successor(&from);
    (from, to)
}

/// Queue and number of an `n` key; `None` if it is none.
pub(super) fn parse_event(key: &[u8]) -> Option<(u64, u64)> {
    let (base, number) = key.split_at_checked(BASE_BYTES)?;
    let queue = base.strip_prefix(&[EVENT])?.try_into().ok()?;
    let number = number.try_into().ok()?;
    Some((u64::from_be_bytes(queue), u64::from_be_bytes(number)))
}

fn base(space: u8, id: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.push(space);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn named(space: u8, id: u64, name: &[u8], tail: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(BASE_BYTES + name.len() + tail.len());
    key.push(space);
    key.extend_from_slice(&id.to_be_bytes());
    key.extend_from_slice(name);
    key.extend_from_slice(tail);
    key.into()
}

/// The least key above all that begin with `prefix`, which has a byte below 0xff (every key here does).
pub(super) fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < 0xff {
            key.push(last + 1);
            break;
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object_key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn object_keys_sort_as_their_names(id: u64, a in "\\PC{1,9}", b in "\\PC{1,9}") {
            let [x, y] = [&a, &b].map(|key| object(id, &object_key(key)));
            prop_assert_eq!(x.cmp(&y), a.as_bytes().cmp(b.as_bytes()));
        }

        #[test]
        fn uploads_survive_the_round_trip(bucket_id: u64, name in "[a\0\u{1}b]{1,9}", number: u64, secret: u64) {
            let id = UploadId { number, secret };
            let key = upload(bucket_id, &object_key(&name), &id);
            prop_assert_eq!(parse_upload(&key), Some((bucket_id, name.clone(), id)));
            let after = after_upload(bucket_id, &name, Some(&id));
            prop_assert!(after > key && after <= after_upload(bucket_id, &name, None));
        }

        #[test]
        fn a_successor_is_above_the_prefix_and_only_that(prefix in prop::collection::vec(0..0xff_u8, 1..6), tail: Vec<u8>, other: Vec<u8>) {
            let above = successor(&prefix);
            prop_assert!([prefix.as_slice(), &tail].concat() < above);
            prop_assert!(other < above || other > prefix);
            prop_assert!(!above.starts_with(&prefix));
        }

        #[test]
        fn versions_survive_the_round_trip(bucket_id: u64, name in "[a\0\u{1}b]{1,9}", number: u64, is_null: bool) {
            let id = if is_null { VersionId::Null } else { VersionId::Number(number) };
            let key = version(bucket_id, &object_key(&name), id);
            prop_assert_eq!(parse_version(&key), Some((bucket_id, name.clone(), id)));
            prop_assert!(key.starts_with(&versions(bucket_id, &name)));
            prop_assert!(key[..] < successor(&versions(bucket_id, &name))[..]);
        }

        #[test]
        fn versions_sort_by_key_then_the_null_one_then_the_newest(a in "[a\0\u{1}b]{1,5}", b in "[a\0\u{1}b]{1,5}", x: u64, y: u64) {
            let of = |name: &str, number| version(1, &object_key(name), VersionId::Number(number));
            prop_assert_eq!(of(&a, x).cmp(&of(&b, y)), (a.as_bytes(), !x).cmp(&(b.as_bytes(), !y)));
            prop_assert!(version(1, &object_key(&a), VersionId::Null) < of(&a, u64::MAX));
            let (from, to) = versions_below(1, &a, x);
            prop_assert_eq!((from.as_slice()..to.as_slice()).contains(&of(&a, y).as_ref()), y < x);
            prop_assert_eq!((from.as_slice()..to.as_slice()).contains(&of(&b, y).as_ref()), a == b && y < x);
        }

        #[test]
        fn events_sort_by_queue_then_number(queue: u64, other: u64, x: u64, y: u64) {
            let [a, b] = [event(queue, x), event(queue, y)];
            prop_assert_eq!(a.cmp(&b), x.cmp(&y));
            prop_assert_eq!(parse_event(&a), Some((queue, x)));
            let (from, to) = events(queue);
            prop_assert_eq!((from.as_slice()..to.as_slice()).contains(&event(other, y).as_ref()), other == queue);
        }

        #[test]
        fn parsing_never_panics(key: Vec<u8>) {
            prop_assert!(parse_event(&key).is_none_or(|(queue, number)| event(queue, number) == key));
            drop(parse_upload(&key));
            drop(parse_version(&key));
            prop_assert!(parse_part(&key).is_none_or(|number| key.ends_with(&number.get().to_be_bytes())));
        }
    }

    #[test]
    fn parts_sort_by_number_and_a_range_excludes_its_start() {
        let number = |n| PartNumber::new(n).unwrap();
        let (from, to) = parts(7, 255);
        assert!(part(7, number(255)) < from);
        assert!((from.as_slice()..to.as_slice()).contains(&part(7, number(256)).as_ref()));
        assert!((from.as_slice()..to.as_slice()).contains(&part(7, number(10_000)).as_ref()));
        assert!(part(8, number(1)) >= to);
        assert_eq!(parse_part(&part(7, number(300))), Some(number(300)));
    }

    proptest! {
        #[test]
        fn uploads_sort_by_key_then_identifier(a in "[a\0\u{1}b]{1,5}", b in "[a\0\u{1}b]{1,5}", x: u64, y: u64) {
            let of = |name: &str, number| upload(1, &object_key(name), &UploadId { number, secret: 0 });
            prop_assert_eq!(of(&a, x).cmp(&of(&b, y)), (a.as_bytes(), x).cmp(&(b.as_bytes(), y)));
            prop_assert_eq!(of(&b, y).starts_with(&uploads(1, &a)), b.starts_with(&a));
        }
    }

    #[test]
    fn a_successor_carries_over_full_bytes() {
        assert_eq!(successor(&[1, 0xff, 0xff]), [2]);
    }
}
