use larder_erasure::Profile;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::objects::{
    documents::DocumentKind,
    names::{AccountId, ETag, PartNumber, UploadId, VersionId},
    sealed::Salt,
    testing::some_placement,
};

fn etag() -> impl Strategy<Value = ETag> {
    (any::<[u8; 16]>(), any::<u16>()).prop_map(|(md5, parts)| ETag { md5, parts })
}

fn checksum() -> impl Strategy<Value = Checksum> {
    let algorithms = prop_oneof![
        Just(ChecksumAlgorithm::Crc32),
        Just(ChecksumAlgorithm::Crc32c),
        Just(ChecksumAlgorithm::Crc64Nvme),
        Just(ChecksumAlgorithm::Sha1),
        Just(ChecksumAlgorithm::Sha256),
    ];
    (
        algorithms,
        any::<bool>(),
        any::<u16>(),
        vec(any::<u8>(), 32),
    )
        .prop_map(|(algorithm, is_composite, parts, mut value)| {
            value.truncate(algorithm.value_bytes());
            let kind = if is_composite {
                ChecksumKind::Composite
            } else {
                ChecksumKind::FullObject
            };
            let parts = if is_composite { parts } else { 0 };
            Checksum {
                algorithm,
                kind,
                value,
                parts,
            }
        })
}

fn pairs(names: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
    vec((names, "\\PC{0,20}"), 0..4)
}

fn headers() -> impl Strategy<Value = Headers> {
    let known = (
        prop_oneof![Just("content-type"), Just("cache-control"), Just("x-new")],
        prop_oneof![
            Just("binary/octet-stream"),
            Just("text/plain"),
            Just(""),
            Just("no-cache")
        ],
    );
    let system = vec(known.prop_map(|(n, v)| (n.to_owned(), v.to_owned())), 0..4);
    (system, pairs("[a-z-]{1,9}")).prop_map(|(system, user)| Headers { system, user })
}

fn unknown() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    vec(
        ((50..200_u64).prop_map(|n| n * 2), vec(any::<u8>(), 0..9)),
        0..3,
    )
}

fn body(size: u64) -> (u64, Body) {
    let upload = UploadId {
        number: size,
        secret: 9,
    };
    let part = |n| (PartNumber::new(n).unwrap(), size % 1000);
    match size % 5 {
        3 => (size, Body::Elsewhere(VersionId::Null)),
        4 => (size, Body::Elsewhere(VersionId::Number(size))),
        0 => (0, Body::Empty),
        1 => (size, Body::Blob(some_placement())),
        _ => {
            let manifest = Manifest::new(upload, [1, 2, 7].map(part));
            (manifest.size().unwrap(), Body::Parts(manifest))
        }
    }
}

fn retention_mode() -> impl Strategy<Value = RetentionMode> {
    prop_oneof![
        Just(RetentionMode::Governance),
        Just(RetentionMode::Compliance)
    ]
}

prop_compose! {
    fn object_lock()(retention in option::of((retention_mode(), any::<u64>())), legal_hold: Option<bool>) -> ObjectLock {
        let retention = retention.map(|(mode, until_unix_millis)| Retention { mode, until_unix_millis });
        ObjectLock { retention, legal_hold }
    }
}

prop_compose! {
    fn object_acl()(
        owner in option::of(option::of(0..1_000_000_000_000_u64)),
        list in option::of(vec(any::<u8>(), 0..40)),
    ) -> ObjectAcl {
        let of = |number| AccountId::from_number(number).map_or(ObjectOwner::Anonymous, ObjectOwner::Account);
        ObjectAcl { owner: owner.map(|number| number.map_or(ObjectOwner::Anonymous, of)), list }
    }
}

prop_compose! {
    fn bucket_lock()(of_bucket in option::of(option::of((retention_mode(), any::<u32>(), any::<bool>())))) -> Option<BucketLock> {
        let period = |count, is_years| if is_years { RetentionPeriod::Years(count) } else { RetentionPeriod::Days(count) };
        let default = |(mode, count, is_years)| DefaultRetention { mode, period: period(count, is_years) };
        of_bucket.map(|of_bucket| BucketLock { default_retention: of_bucket.map(default) })
    }
}

prop_compose! {
    fn encryption()(salt in option::of(any::<[u8; 24]>()), envelope in vec(any::<u8>(), 0..40)) -> Encryption {
        Encryption { salt: salt.map(Salt), envelope }
    }
}

prop_compose! {
    fn object()(
        base in (any::<u64>(), any::<u64>(), etag(), option::of(checksum()), headers(), pairs("\\PC{1,9}")),
        rare in (option::of(any::<u64>()), any::<bool>(), (object_lock(), object_acl()),
            option::of(encryption()), option::of("[a-z0-9+]{0,9}"), unknown()),
    ) -> ObjectRecord {
        let (size, body) = body(base.0);
        ObjectRecord {
            checksum: base.3,
            headers: base.4,
            tags: Tags(base.5),
            version: rare.0,
            is_delete_marker: rare.1,
            lock: rare.2.0,
            acl: rare.2.1,
            encryption: rare.3,
            profile: rare.4,
            unknown: rare.5,
            body,
            ..ObjectRecord::new(size, base.1, base.2)
        }
    }
}

proptest! {
    #[test]
    fn objects_survive_the_round_trip(record in object()) {
        let bytes = record.encode();
        let summary = ObjectSummary::decode(&bytes).unwrap();
        prop_assert_eq!((summary.size, summary.etag), (record.size, record.etag));
        let elsewhere = record.body.elsewhere().is_some();
        prop_assert_eq!((summary.is_pointer, summary.version, summary.is_delete_marker), (elsewhere, record.version, record.is_delete_marker));
        prop_assert_eq!(summary.owner, record.acl.owner);
        prop_assert_eq!(summary.checksum, record.checksum.as_ref().map(|c| (c.algorithm, c.kind)));
        prop_assert_eq!(ObjectRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn a_cut_or_changed_object_never_panics(record in object(), at: prop::sample::Index, flip: u8) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        drop(ObjectRecord::decode(&bytes[..at]));
        bytes[at] ^= flip;
        drop(ObjectRecord::decode(&bytes));
        prop_assert!(ObjectSummary::decode(&bytes).is_ok() || ObjectRecord::decode(&bytes).is_err());
    }

    #[test]
    fn parts_survive_the_round_trip(size in 1..u64::MAX, modified: u64, etag in etag(), checksum in option::of(checksum()), default_checksum in option::of(checksum()), encryption in option::of(encryption()), unknown in unknown()) {
        let placement = Some(some_placement());
        let part = PartRecord { size, modified_unix_millis: modified, etag, checksum, default_checksum, encryption, unknown, placement };
        prop_assert_eq!(PartRecord::decode(&part.encode()), Ok(part));
    }

    #[test]
    fn uploads_survive_the_round_trip(initiated_unix_millis: u64, is_completing: bool, with in option::of(checksum()), headers in headers(), tags in pairs("\\PC{1,9}"), lock in object_lock(), acl in object_acl(), encryption in option::of(encryption()), unknown in unknown()) {
        let checksum = with.map(|c| (c.algorithm, c.kind));
        let upload = UploadRecord { initiated_unix_millis, is_completing, checksum, headers, tags: Tags(tags), lock, acl, encryption, unknown };
        prop_assert_eq!(UploadRecord::decode(&upload.encode()), Ok(upload));
    }

    #[test]
    fn buckets_survive_the_round_trip(id: u64, created_unix_millis: u64, region in "\\PC{0,20}", is_deleting: bool, versioning in 0..3_usize, owner in 0..1_000_000_000_000_u64, kinds in vec((1..=10_u8, any::<u64>(), any::<u16>()), 0..10), lock in bucket_lock(), quota in (option::of(0..u64::MAX), option::of(0..u64::MAX)), profile in option::of((1..=16_u8, 0..=9_u8)), unknown in unknown()) {
        let versioning = [Versioning::Off, Versioning::Enabled, Versioning::Suspended][versioning];
        let mut documents = Vec::<DocumentPlace>::new();
        for (code, number, pages) in kinds {
            let kind = DocumentKind::from_code(code).unwrap();
            if documents.iter().all(|known| known.kind != kind) {
                documents.push(DocumentPlace { kind, number, pages });
            }
        }
        let owner = AccountId::from_number(owner).unwrap();
        let quota = crate::objects::Quota { max_bytes: quota.0, max_objects: quota.1 };
        let profile = profile.map(|(data, parity)| Profile::new(data, parity).unwrap());
        let bucket = BucketRecord { id, created_unix_millis, region, is_deleting, versioning, documents, owner, lock, quota, profile, unknown };
        prop_assert_eq!(BucketRecord::decode(&bucket.encode()), Ok(bucket));
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in vec(any::<u8>(), 1..80)) {
        bytes[0] = 1;
        drop(ObjectRecord::decode(&bytes));
        prop_assert!(ObjectSummary::decode(&bytes).is_ok() || ObjectRecord::decode(&bytes).is_err());
        drop(PartRecord::decode(&bytes));
        drop(UploadRecord::decode(&bytes));
        drop(BucketRecord::decode(&bytes));
        drop(decode_page(&bytes).map(<[u8]>::to_vec));
        drop(GarbageRecord::decode(&bytes));
    }
}

#[test]
fn garbage_survives_the_round_trip() {
    let upload = UploadId {
        number: 1 << 40,
        secret: 3,
    };
    let used = Manifest::new(upload, [(PartNumber::new(3).unwrap(), 5 << 20)]);
    let mut tasks = vec![
        GarbageRecord::Parts(7),
        GarbageRecord::UnusedParts(used),
        GarbageRecord::Uploads(9),
    ];
    tasks.push(GarbageRecord::Blob(some_placement()));
    for task in tasks {
        assert_eq!(GarbageRecord::decode(&task.encode()), Ok(task));
    }
}

/// What a plain PUT of 1 KiB leaves, but for the placement.
fn plain() -> ObjectRecord {
    ObjectRecord {
        checksum: Some(Checksum {
            algorithm: ChecksumAlgorithm::Crc64Nvme,
            kind: ChecksumKind::FullObject,
            value: (1..=8).collect(),
            parts: 0,
        }),
        headers: Headers {
            system: vec![("content-type".into(), "binary/octet-stream".into())],
            user: vec![],
        },
        ..ObjectRecord::new(
            1024,
            1_790_000_000_123,
            ETag {
                md5: [0xab; 16],
                parts: 0,
            },
        )
    }
}

#[test]
fn owners_and_lists_stand_as_they_always_did_and_cost_nothing_where_there_are_none() {
    let bytes = |owner, list: Option<&[u8]>| {
        let acl = ObjectAcl {
            owner,
            list: list.map(<[u8]>::to_vec),
        };
        let record = ObjectRecord { acl, ..plain() };
        let (whole, without) = (record.encode(), plain().encode());
        assert_eq!(whole[..without.len() - 1], without[..without.len() - 1]);
        whole[without.len() - 1..].to_vec()
    };
    assert_eq!(bytes(None, None), [0]);
    let account = AccountId::from_number(300).map(ObjectOwner::Account);
    assert_eq!(bytes(account, Some(b"l")), [31, 2, 0xac, 2, 32, 1, b'l', 0]);
    assert_eq!(bytes(Some(ObjectOwner::Anonymous), None), [31, 0, 0]);
    let too_high = [1, 31, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
    let refused = ObjectRecord::decode(&too_high);
    assert_eq!(refused, Err(RecordError::BadField { tag: 31 }));
    assert!(ObjectSummary::decode(&too_high).is_err());
}

#[test]
fn a_plain_object_takes_at_most_sixty_bytes() {
    let bytes = plain().encode().len();
    assert!(bytes <= 60, "{bytes} bytes");
}

/// The format: a failure here means that disks written before would no longer be read.
#[test]
fn bytes_of_an_object_are_frozen() {
    let mut expected = vec![1];
    expected.extend([1, 2, 0x80, 0x08]);
    expected.extend([3, 6, 0xfb, 0xd8, 0xc1, 0xa2, 0x8c, 0x34]);
    expected.extend([5, 16]);
    expected.extend([0xab; 16]);
    expected.extend([7, 9, 3, 1, 2, 3, 4, 5, 6, 7, 8]);
    expected.extend([9, 1, 1]);
    expected.push(0);
    assert_eq!(plain().encode(), expected);
}

#[test]
fn bytes_of_a_multipart_object_are_frozen() {
    let upload = UploadId {
        number: 0x0102_0304_0506_0708,
        secret: 0x1112_1314_1516_1718,
    };
    let parts = [(1, 300), (2, 300), (5, 7)].map(|(n, size)| (PartNumber::new(n).unwrap(), size));
    let record = ObjectRecord {
        tags: Tags(vec![("a".into(), "bc".into())]),
        headers: Headers {
            system: vec![
                ("cache-control".into(), "no".into()),
                ("x".into(), "y".into()),
            ],
            user: vec![("k".into(), "v".into())],
        },
        body: Body::Parts(Manifest::new(upload, parts)),
        ..ObjectRecord::new(
            607,
            1,
            ETag {
                md5: [1; 16],
                parts: 3,
            },
        )
    };
    let mut expected = vec![1, 1, 2, 0xdf, 4, 3, 1, 1, 5, 17];
    expected.extend([1; 16]);
    expected.push(3);
    expected.extend([
        11, 3, 5, b'n', b'o', 11, 4, 0, 1, b'x', b'y', 13, 3, 1, b'k', b'v',
    ]);
    expected.extend([15, 5, 1, b'a', 2, b'b', b'c', 27, 22]);
    expected.extend([
        1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    ]);
    expected.extend([1, 2, 0xac, 2, 4, 7]);
    expected.push(0);
    assert_eq!(record.encode(), expected);
    assert_eq!(ObjectRecord::decode(&expected), Ok(record));
}

#[test]
fn bytes_of_locks_are_frozen() {
    let retention = |mode, until_unix_millis| {
        Some(Retention {
            mode,
            until_unix_millis,
        })
    };
    let with = |lock| UploadRecord {
        lock,
        ..UploadRecord::default()
    };
    let held = ObjectLock {
        retention: retention(RetentionMode::Compliance, 300),
        legal_hold: Some(true),
    };
    let start = [1, 1, 1, 0];
    let expected = [&start[..], &[21, 3, 1, 0xac, 2, 23, 0, 0]].concat();
    assert_eq!(with(held).encode(), expected);
    let released = ObjectLock {
        retention: retention(RetentionMode::Governance, 1),
        legal_hold: Some(false),
    };
    let expected = [&start[..], &[21, 2, 0, 1, 23, 1, 0, 0]].concat();
    assert_eq!(with(released).encode(), expected);
    let bucket = |lock| BucketRecord {
        lock,
        ..BucketRecord::default()
    };
    let start = [1, 1, 1, 0, 3, 1, 0, 5, 0];
    let years = DefaultRetention {
        mode: RetentionMode::Compliance,
        period: RetentionPeriod::Years(7),
    };
    let days = DefaultRetention {
        mode: RetentionMode::Governance,
        period: RetentionPeriod::Days(300),
    };
    for (default_retention, bytes) in [
        (None, &[15, 0, 0][..]),
        (Some(years), &[15, 3, 1, 1, 7, 0]),
        (Some(days), &[15, 4, 0, 0, 0xac, 2, 0]),
    ] {
        let lock = BucketLock { default_retention };
        assert_eq!(bucket(Some(lock)).encode(), [&start[..], bytes].concat());
    }
}

#[test]
fn a_record_whose_body_disagrees_is_refused() {
    let without_placement = ObjectRecord::new(
        5,
        1,
        ETag {
            md5: [1; 16],
            parts: 0,
        },
    )
    .encode();
    assert_eq!(
        ObjectRecord::decode(&without_placement),
        Err(RecordError::BadBody)
    );
    assert_eq!(
        ObjectRecord::decode(&[1, 0]),
        Err(RecordError::Missing { tag: 1 })
    );
    let newer = [1, 201, 1, 0, 0];
    assert_eq!(
        ObjectRecord::decode(&newer),
        Err(RecordError::UnknownField { tag: 201 })
    );
    assert_eq!(
        ObjectSummary::decode(&newer),
        Err(RecordError::UnknownField { tag: 201 })
    );
}
