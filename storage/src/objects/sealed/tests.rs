//! Encrypted bodies against plain ones, and against whoever changes bytes on a disk.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{
    chunk::{CHUNK_BYTES, ChunkError, Place, SEALED_CHUNK_BYTES},
    *,
};
use crate::{
    meta::{Change, Transaction},
    objects::{
        record::{Body, Encryption, ObjectRecord, PartRecord, placement_of},
        testing::*,
        *,
    },
    stripes::{BlobReader, BlobWriter, FinishedBlob},
};

const CHUNK: usize = CHUNK_BYTES;
const SIZES: [usize; 15] = [
    1,
    15,
    16,
    17,
    INLINE_MAX - 16,
    INLINE_MAX,
    CHUNK - 16,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK - 1,
    2 * CHUNK,
    2 * CHUNK + 5,
    9 * CHUNK,
    9 * CHUNK + 1,
];

fn data_key(seed: u8) -> DataKey {
    DataKey::new(&[seed; DATA_KEY_BYTES])
}

fn blob_key(seed: u8) -> BlobKey {
    BlobKey::derive(&data_key(seed), &Salt([3; SALT_BYTES]), 0).unwrap()
}

fn body(size: usize) -> Vec<u8> {
    let words = (0_u64..).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
    words.take(size).collect()
}

fn place(number: u64, is_last: bool) -> Place {
    Place { number, is_last }
}

impl Fixture {
    /// Writes `body` in pieces of this size.
    async fn sealed(&self, body: &[u8], piece: usize, sealing: Sealing) -> FinishedBody {
        let (bucket, size) = (bucket("bucket"), Some(body.len() as u64));
        let writer = self.store.sealed_blob_writer(&bucket, size, sealing);
        let mut writer = writer.await.unwrap();
        for piece in body.chunks(piece) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    async fn put_sealed(&self, name: &str, body: &[u8], piece: usize) -> Written {
        let sealing = Sealing::of_object(data_key(1), b"envelope".to_vec());
        let request = PutObject {
            blob: self.sealed(body, piece, sealing).await,
            etag: etag(body),
            ..self.request(name, b"").await
        };
        self.store.put_object(request).await.unwrap()
    }

    async fn unlocked(&self, name: &str) -> ObjectHandle {
        let mut handle = self.handle(name).await.unwrap();
        assert_eq!(handle.info().encryption.as_deref(), Some(&b"envelope"[..]));
        handle.unlock(data_key(1));
        handle
    }

    async fn get_sealed(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let handle = self.unlocked(name).await;
        read_all(handle.read(0..handle.info().size).await?).await
    }

    async fn start_sealed(&self, name: &str) -> UploadId {
        let request = CreateUpload {
            encryption: Some(b"envelope".to_vec()),
            bucket: bucket("bucket"),
            key: key(name),
            headers: Headers::default(),
            tags: Tags::default(),
            checksum: None,
            lock: ObjectLock::default(),
            acl: ObjectAcl::default(),
        };
        self.store.create_upload(request).await.unwrap()
    }

    async fn put_part_of(
        &self,
        name: &str,
        upload: UploadId,
        (part, etag): (u32, ETag),
        blob: FinishedBody,
    ) -> Result<Written, StoreError> {
        let request = PutPart {
            bucket: bucket("bucket"),
            key: key(name),
            upload,
            number: number(part),
            blob,
            etag,
            checksum: None,
            default_checksum: None,
        };
        self.store.put_part(request).await
    }

    async fn sealed_part(&self, name: &str, upload: UploadId, part: u32, body: &[u8]) {
        let sealing = Sealing::of_part(data_key(1), number(part));
        let blob = self.sealed(body, 1000, sealing).await;
        let put = self.put_part_of(name, upload, (part, etag(body)), blob);
        put.await.unwrap();
    }

    /// What lies on the disks for the record under `key`.
    async fn lying(&self, key: &[u8]) -> Vec<u8> {
        let record = self.meta.get(key).await.unwrap().unwrap();
        let placement = placement_of(&record.value).unwrap().unwrap();
        let size = placement.size;
        let mut reader = BlobReader::open(&self.pool, placement, 0..size).unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        bytes
    }

    /// Puts other bytes in their place, with checksums that are right, as one who has the disks could.
    async fn forge(&self, key: &[u8], bytes: &[u8], change: impl FnOnce(&mut ObjectRecord)) {
        let mut writer = BlobWriter::new(&self.pool, self.pool.profile(), None).unwrap();
        writer.write(Bytes::copy_from_slice(bytes)).await.unwrap();
        let FinishedBlob::Extents(extents) = writer.finish().await.unwrap() else {
            panic!("too small to be extents")
        };
        let found = self.meta.get(key).await.unwrap().unwrap();
        let mut record = ObjectRecord::decode(&found.value).unwrap();
        record.body = Body::Blob(extents.placement().clone());
        change(&mut record);
        self.set(key, record.encode()).await;
        extents.keep();
    }

    async fn set(&self, key: &[u8], value: Vec<u8>) {
        let change = Change {
            key: Bytes::copy_from_slice(key),
            value: Some(value.into()),
        };
        let transaction = Transaction {
            changes: vec![change],
            ..Transaction::default()
        };
        self.meta.commit(transaction).await.unwrap();
    }

    async fn object_key(&self, name: &str) -> Vec<u8> {
        let entries = self.meta.scan(b"o", b"p", usize::MAX).await.unwrap();
        let found = entries.iter().find(|e| e.key.ends_with(name.as_bytes()));
        found.unwrap().key.to_vec()
    }
}

/// Points where something changes, and their neighbours.
fn points(size: usize) -> Vec<usize> {
    let near = |at: usize| [at.saturating_sub(1), at, at + 1];
    let mut points: Vec<usize> = (0..=size / CHUNK).flat_map(|n| near(n * CHUNK)).collect();
    points.extend(near(size));
    points.retain(|at| *at <= size);
    points.sort_unstable();
    points.dedup();
    points
}

#[tokio::test]
async fn every_range_of_an_encrypted_body_is_that_of_the_plain_one() {
    let fixture = Fixture::with_bucket().await;
    for (size, piece) in SIZES
        .into_iter()
        .zip([1, 7, 16, 4000, CHUNK, 3 * CHUNK].into_iter().cycle())
    {
        let body = body(size);
        let written = fixture.put_sealed("a", &body, piece.max(size / 500)).await;
        assert_eq!(written.size, size as u64);
        let handle = fixture.unlocked("a").await;
        for start in points(size) {
            for end in points(size).into_iter().filter(|end| *end >= start) {
                let reader = handle.read(start as u64..end as u64).await.unwrap();
                let got = read_all(reader).await.unwrap();
                assert!(got == body[start..end], "{start}..{end} of {size}");
            }
        }
    }
}

#[tokio::test]
async fn the_disks_have_no_plain_bytes_and_a_range_costs_its_chunks_alone() {
    let fixture = Fixture::with_bucket().await;
    let body = body(9 * CHUNK);
    fixture.put_sealed("a", &body, 5000).await;
    let lying = fixture.lying(&fixture.object_key("a").await).await;
    assert_eq!(lying.len() as u64, sealed_bytes(body.len() as u64));
    for at in 0..lying.len() - 16 {
        assert_ne!(lying[at..at + 16], body[..16], "at {at}");
    }
    let handle = fixture.unlocked("a").await;
    let before = fixture.pool.read_bytes();
    let got = read_all(
        handle
            .read(CHUNK as u64 + 1..CHUNK as u64 + 2)
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(got.unwrap(), body[CHUNK + 1..CHUNK + 2]);
    let read = fixture.pool.read_bytes() - before;
    assert!(
        read <= 2 * (CHUNK as u64 + 8),
        "{read} bytes: the blocks of one chunk"
    );
}

#[tokio::test]
async fn an_empty_body_has_no_blob_and_reads_as_empty() {
    let fixture = Fixture::with_bucket().await;
    fixture.put_sealed("a", b"", 1).await;
    assert_eq!(fixture.get_sealed("a").await.unwrap(), b"");
}

#[tokio::test]
async fn without_its_data_key_nothing_is_read() {
    let fixture = Fixture::with_bucket().await;
    for size in [10, 3 * CHUNK] {
        fixture.put_sealed("a", &body(size), CHUNK).await;
        let without = fixture.get("a").await;
        assert!(
            matches!(without, Err(StoreError::Internal(_))),
            "{without:?}"
        );
        let mut handle = fixture.handle("a").await.unwrap();
        handle.unlock(data_key(2));
        let read = read_all(handle.read(0..size as u64).await.unwrap()).await;
        assert!(matches!(read, Err(StoreError::Unreadable(_))), "{read:?}");
    }
    fixture.put("a", b"plain").await.unwrap();
    let mut handle = fixture.handle("a").await.unwrap();
    handle.unlock(data_key(2));
    assert_eq!(
        read_all(handle.read(0..5).await.unwrap()).await.unwrap(),
        b"plain"
    );
}

/// Whoever has the disks can make every checksum right; what they have changed must not be taken for the object.
#[tokio::test]
async fn forged_blobs_are_refused() {
    let fixture = Fixture::with_bucket().await;
    let body = body(3 * CHUNK + 100);
    fixture.put_sealed("a", &body, CHUNK).await;
    let key = fixture.object_key("a").await;
    let lying = fixture.lying(&key).await;
    fixture.forge(&key, &lying, |_| {}).await;
    assert!(
        fixture.get_sealed("a").await.unwrap() == body,
        "moved, not changed"
    );
    let whole = SEALED_CHUNK_BYTES;
    let swapped = [
        &lying[whole..2 * whole],
        &lying[..whole],
        &lying[2 * whole..],
    ]
    .concat();
    let repeated = [&lying[..whole], &lying[..whole], &lying[2 * whole..]].concat();
    let mut flipped = lying.clone();
    flipped[2 * whole + 5] ^= 1;
    let cut = lying[..3 * whole].to_vec();
    let shorter = lying[..3 * whole + 50].to_vec();
    let longer = [&lying[..], &[0]].concat();
    let (three, most) = (3 * CHUNK as u64, body.len() as u64);
    for (what, bytes, size) in [
        ("chunks in another order", &swapped, most),
        ("a chunk twice", &repeated, most),
        ("a flipped bit", &flipped, most),
        ("cut off between chunks", &cut, most),
        ("cut off between chunks, and the size as well", &cut, three),
        ("cut off within a chunk", &shorter, three + 34),
        ("a byte more", &longer, most),
        ("a byte more, and the size as well", &longer, most + 1),
    ] {
        fixture
            .forge(&key, bytes, |record| record.size = size)
            .await;
        let handle = fixture.unlocked("a").await;
        let read = match handle.read(0..size).await {
            Ok(reader) => read_all(reader).await,
            Err(error) => Err(error),
        };
        assert!(matches!(read, Err(StoreError::Unreadable(_))), "{what}");
    }
    let other_salt = |record: &mut ObjectRecord| {
        let envelope = b"envelope".to_vec();
        let salt = Some(Salt([9; SALT_BYTES]));
        (record.size, record.encryption) = (most, Some(Encryption { salt, envelope }));
    };
    fixture.forge(&key, &lying, other_salt).await;
    assert!(fixture.get_sealed("a").await.is_err());
    fixture
        .forge(&key, &lying, |record| record.encryption = None)
        .await;
    assert_ne!(
        fixture.get("a").await.unwrap(),
        body,
        "no key is asked for, and no plain bytes are got"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_chunk_opens_in_its_place_alone_and_with_every_bit_as_it_was(size in 1..300_usize, number in 0..5_u64, is_last: bool, seed: u8) {
        let (key, plain) = (blob_key(seed), body(size));
        let mut sealed = BytesMut::from(&plain[..]);
        key.seal(place(number, is_last), &mut sealed).unwrap();
        let opens = |key: &BlobKey, place: Place, bytes: &[u8]| {
            let mut chunk = BytesMut::from(bytes);
            key.open(place, &mut chunk).map(|()| chunk.to_vec())
        };
        let right = place(number, is_last);
        prop_assert_eq!(opens(&key, right, &sealed), Ok(plain));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(opens(&key, right, &flipped), Err(ChunkError));
        }
        for cut in 0..sealed.len() {
            prop_assert_eq!(opens(&key, right, &sealed[..cut]), Err(ChunkError));
        }
        prop_assert_eq!(opens(&key, place(number + 1, is_last), &sealed), Err(ChunkError));
        prop_assert_eq!(opens(&key, place(number, !is_last), &sealed), Err(ChunkError));
        prop_assert_eq!(opens(&blob_key(seed.wrapping_add(1)), right, &sealed), Err(ChunkError));
        let of = |salt, part| BlobKey::derive(&data_key(seed), &Salt([salt; SALT_BYTES]), part).unwrap();
        prop_assert_eq!(opens(&of(4, 0), right, &sealed), Err(ChunkError));
        prop_assert_eq!(opens(&of(3, 1), right, &sealed), Err(ChunkError));
    }
}

/// Frozen: what is on disks must open for ever.
#[test]
fn a_chunk_has_these_bytes() {
    let mut chunk = BytesMut::from(&b"what an object has"[..]);
    blob_key(7).seal(place(2, true), &mut chunk).unwrap();
    let hex = chunk
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(hex, GOLDEN);
}

const GOLDEN: &str = "7ea80199a6765ae8cf14c5c602e8913e9ee915b38801e0f6f10430235a963dc680d8";

#[tokio::test]
async fn parts_are_encrypted_each_for_its_number_and_read_as_one() {
    let fixture = Fixture::with_bucket().await;
    let upload = fixture.start_sealed("a").await;
    let parts = [(1, body(CHUNK + 9)), (2, body(CHUNK + 9)), (7, body(33))];
    for (number, body) in &parts {
        fixture.sealed_part("a", upload, *number, body).await;
    }
    let wanted: Vec<(u32, &[u8])> = parts.iter().map(|(n, body)| (*n, &body[..])).collect();
    let written = fixture.complete("a", upload, &wanted).await.unwrap();
    let whole: Vec<u8> = parts.iter().flat_map(|(_, body)| body.clone()).collect();
    assert_eq!(written.size, whole.len() as u64);
    assert!(fixture.get_sealed("a").await.unwrap() == whole);
    let handle = fixture.unlocked("a").await;
    for range in [CHUNK - 1..CHUNK + 20, 2 * CHUNK + 17..2 * CHUNK + 19, 0..1] {
        let reader = handle
            .read(range.start as u64..range.end as u64)
            .await
            .unwrap();
        assert!(read_all(reader).await.unwrap() == whole[range]);
    }
    let (first, second) = (
        keys::part(upload.number, number(1)),
        keys::part(upload.number, number(2)),
    );
    let swap = [(&first, &second), (&second, &first)];
    let values: Vec<_> = [
        fixture.meta.get(&first).await.unwrap().unwrap().value,
        fixture.meta.get(&second).await.unwrap().unwrap().value,
    ]
    .into();
    for ((to, _), value) in swap.iter().zip(values.iter().rev()) {
        fixture.set(to, value.to_vec()).await;
    }
    let read = fixture.get_sealed("a").await;
    assert!(
        matches!(read, Err(StoreError::Unreadable(_))),
        "parts that changed places"
    );
}

#[tokio::test]
async fn a_part_is_encrypted_as_its_upload_or_not_taken() {
    let fixture = Fixture::with_bucket().await;
    let (sealed, plain) = (fixture.start_sealed("a").await, fixture.start("b").await);
    let put = fixture.part("a", sealed, 1, b"plain").await;
    assert!(matches!(put, Err(StoreError::Internal(_))), "{put:?}");
    let blob = fixture
        .sealed(b"body", 9, Sealing::of_part(data_key(1), number(1)))
        .await;
    let put = fixture
        .put_part_of("b", plain, (1, etag(b"body")), blob)
        .await;
    assert!(matches!(put, Err(StoreError::Internal(_))), "{put:?}");
    fixture.sealed_part("a", sealed, 1, b"body").await;
    let key = keys::part(sealed.number, number(1));
    let record = fixture.meta.get(&key).await.unwrap().unwrap();
    let encryption = PartRecord::decode(&record.value)
        .unwrap()
        .encryption
        .unwrap();
    assert!(encryption.salt.is_some() && encryption.envelope.is_empty());
}

#[tokio::test]
async fn a_change_of_the_record_leaves_what_is_encrypted_readable() {
    let fixture = Fixture::with_bucket().await;
    for size in [50, 2 * CHUNK] {
        let body = body(size);
        fixture.put_sealed("a", &body, 1000).await;
        let tags = Tags(vec![("k".into(), "v".into())]);
        let (bucket, name) = (bucket("bucket"), key("a"));
        fixture.store.set_tags(&bucket, &name, tags).await.unwrap();
        assert!(fixture.get_sealed("a").await.unwrap() == body);
        let update = UpdateObject {
            bucket,
            key: name,
            headers: Headers::default(),
            tags: None,
            conditions: WriteConditions::default(),
            acl: ObjectAcl::default(),
        };
        fixture.store.update_headers(update).await.unwrap();
        assert!(fixture.get_sealed("a").await.unwrap() == body);
    }
}

#[tokio::test]
async fn more_or_less_than_was_announced_is_refused_in_plain_bytes() {
    let fixture = Fixture::with_bucket().await;
    let writer = |size| {
        let sealing = Sealing::of_object(data_key(1), Vec::new());
        let (store, bucket) = (fixture.store.clone(), bucket("bucket"));
        async move {
            store
                .sealed_blob_writer(&bucket, Some(size), sealing)
                .await
                .unwrap()
        }
    };
    let mut less = writer(9).await;
    less.write(Bytes::from_static(b"short")).await.unwrap();
    let less = less.finish().await.unwrap_err();
    assert!(matches!(
        less,
        StoreError::SizeMismatch {
            expected_bytes: 9,
            got_bytes: 5
        }
    ));
    let more = writer(4).await.write(Bytes::from_static(b"longer")).await;
    assert!(matches!(
        more,
        Err(StoreError::SizeMismatch {
            expected_bytes: 4,
            got_bytes: 6
        })
    ));
}
