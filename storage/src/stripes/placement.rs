//! Where a blob's shards are: the part of an object's record that the stripes layer owns.

use larder_erasure::Profile;

use super::Layout;
use std::fmt;

use crate::{
    disk::{Address, BlobId, DiskNo},
    varint,
};

/// How the shards of a blob are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardForm {
    /// In the log, in the frame of the commit.
    Inline,
    /// As extents.
    Extent,
}

/// Where one shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardPlace {
    /// Nowhere: its disk was missing when the blob was written.
    Missing,
    /// In this disk's log; the address is that of the frame.
    Log(DiskNo, Address),
    /// An extent of this disk.
    Extent(DiskNo),
}

impl ShardPlace {
    /// The disk, if the shard is anywhere.
    pub fn disk(self) -> Option<DiskNo> {
        match self {
            Self::Missing => None,
            Self::Log(disk, _) | Self::Extent(disk) => Some(disk),
        }
    }
}

impl fmt::Display for ShardPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("nowhere"),
            Self::Extent(disk) => write!(f, "extent on disk {}", disk.0),
            Self::Log(disk, Address { segment, offset }) => {
                write!(f, "disk {} segment {segment} at {offset}", disk.0)
            }
        }
    }
}

/// Everything that is needed to read a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPlacement {
    /// Its identity, part of each block's checksum.
    pub blob: BlobId,
    /// Its length in bytes, at least 1.
    pub size: u64,
    /// How it is coded. The matrix is [`larder_erasure::MATRIX_ID`]'s; another would be another form byte.
    pub profile: Profile,
    /// How its shards are stored.
    pub form: ShardForm,
    /// One place per shard, data shards first.
    pub shards: Vec<ShardPlace>,
}

/// A placement that does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Shards in a form that this code does not know: written by a newer release.
    #[error("blob placement has form {found}, known are {FORM_INLINE} and {FORM_EXTENT}")]
    UnknownForm {
        /// Its form byte.
        found: u8,
    },
    /// No placement.
    #[error("blob placement does not decode")]
    Damaged,
}

/// No blob is larger: S3's objects end at 5 TiB. A larger size is damage, and sums of sizes below this can't overflow.
const MAX_BLOB_BYTES: u64 = 1 << 48;
const FORM_INLINE: u8 = 1;
const FORM_EXTENT: u8 = 2;

impl BlobPlacement {
    /// Its geometry.
    pub fn layout(&self) -> Layout {
        Layout::new(self.size, self.profile)
    }

    /// Whether its shards are files of their own, to be removed when the blob is no longer referenced.
    pub fn is_extents(&self) -> bool {
        self.form == ShardForm::Extent
    }

    /// Shards that are nowhere.
    pub fn missing_shards(&self) -> usize {
        self.shards
            .iter()
            .filter(|place| **place == ShardPlace::Missing)
            .count()
    }

    /// Appends the encoded form: form byte, blob, size, k, m, then per shard the disk's number plus one (0: missing)
    /// and, inline, the address as differences to the shard before.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(match self.form {
            ShardForm::Inline => FORM_INLINE,
            ShardForm::Extent => FORM_EXTENT,
        });
        varint::put(out, self.blob.0);
        varint::put(out, self.size);
        varint::put(out, self.profile.data() as u64);
        varint::put(out, self.profile.parity() as u64);
        let mut previous = Address::default();
        for place in &self.shards {
            varint::put(out, place.disk().map_or(0, |disk| u64::from(disk.0) + 1));
            if let ShardPlace::Log(_, address) = place {
                varint::put_signed(
                    out,
                    i64::from(address.segment) - i64::from(previous.segment),
                );
                varint::put_signed(out, i64::from(address.offset) - i64::from(previous.offset));
                previous = *address;
            }
        }
    }

    /// Decodes from the front of `input`; the second value is the number of bytes used.
    ///
    /// # Errors
    /// [`PlacementError`] on anything that [`Self::encode_into`] would not write.
    pub fn decode(input: &[u8]) -> Result<(Self, usize), PlacementError> {
        let mut rest = input;
        let form = match varint::take_bytes(&mut rest, 1) {
            Some([FORM_INLINE]) => ShardForm::Inline,
            Some([FORM_EXTENT]) => ShardForm::Extent,
            Some([found]) => return Err(PlacementError::UnknownForm { found: *found }),
            _ => return Err(PlacementError::Damaged),
        };
        let placement = Self::take(form, &mut rest).ok_or(PlacementError::Damaged)?;
        Ok((placement, input.len() - rest.len()))
    }

    fn take(form: ShardForm, input: &mut &[u8]) -> Option<Self> {
        let blob = BlobId(varint::take(input)?);
        let size = varint::take(input)?;
        let data = u8::try_from(varint::take(input)?).ok()?;
        let parity = u8::try_from(varint::take(input)?).ok()?;
        let profile = Profile::new(data, parity).ok()?;
        let mut previous = Address::default();
        let shards = (0..profile.total())
            .map(|_| take_place(input, form, &mut previous))
            .collect::<Option<Vec<_>>>()?;
        (1..=MAX_BLOB_BYTES).contains(&size).then_some(Self {
            blob,
            size,
            profile,
            form,
            shards,
        })
    }
}

fn take_place(input: &mut &[u8], form: ShardForm, previous: &mut Address) -> Option<ShardPlace> {
    let number = varint::take(input)?;
    if number == 0 {
        return Some(ShardPlace::Missing);
    }
    let disk = DiskNo(u16::try_from(number - 1).ok()?);
    if form == ShardForm::Extent {
        return Some(ShardPlace::Extent(disk));
    }
    let segment = i64::from(previous.segment).checked_add(varint::take_signed(input)?)?;
    let offset = i64::from(previous.offset).checked_add(varint::take_signed(input)?)?;
    *previous = Address {
        segment: u32::try_from(segment).ok()?,
        offset: u32::try_from(offset).ok()?,
    };
    Some(ShardPlace::Log(disk, *previous))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(form: ShardForm) -> impl Strategy<Value = ShardPlace> {
        (any::<u16>(), any::<u32>(), any::<u32>(), 0..5_u8).prop_map(
            move |(disk, segment, offset, missing)| match (missing, form) {
                (0, _) => ShardPlace::Missing,
                (_, ShardForm::Inline) => {
                    ShardPlace::Log(DiskNo(disk), Address { segment, offset })
                }
                (_, ShardForm::Extent) => ShardPlace::Extent(DiskNo(disk)),
            },
        )
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            blob: u64, size in 1..=MAX_BLOB_BYTES, extent: bool, tail in prop::collection::vec(any::<u8>(), 0..4),
            places in prop::collection::vec(any::<()>(), 3..9).prop_flat_map(|v| {
                (prop::collection::vec(place(ShardForm::Inline), v.len()), prop::collection::vec(place(ShardForm::Extent), v.len()))
            }),
        ) {
            let (form, shards) = if extent { (ShardForm::Extent, places.1) } else { (ShardForm::Inline, places.0) };
            let profile = Profile::new(u8::try_from(shards.len() - 2).unwrap(), 2).unwrap();
            let placement = BlobPlacement { blob: BlobId(blob), size, profile, form, shards };
            let mut bytes = Vec::new();
            placement.encode_into(&mut bytes);
            let used = bytes.len();
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(BlobPlacement::decode(&bytes), Ok((placement, used)));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(BlobPlacement::decode(&bytes));
        }
    }

    #[test]
    fn absurd_sizes_are_refused_and_the_largest_that_is_not_has_a_layout() {
        for data in [1, 2, 253] {
            let mut placement = BlobPlacement {
                blob: BlobId(1),
                size: MAX_BLOB_BYTES,
                profile: Profile::new(data, 2).unwrap(),
                form: ShardForm::Extent,
                shards: vec![ShardPlace::Missing; usize::from(data) + 2],
            };
            let encoded = |placement: &BlobPlacement| {
                let mut bytes = Vec::new();
                placement.encode_into(&mut bytes);
                bytes
            };
            let (decoded, _) = BlobPlacement::decode(&encoded(&placement)).unwrap();
            assert!(decoded.layout().shard_bytes() >= MAX_BLOB_BYTES / u64::from(data));
            for size in [MAX_BLOB_BYTES + 1, u64::MAX] {
                placement.size = size;
                let refused = BlobPlacement::decode(&encoded(&placement));
                assert_eq!(refused, Err(PlacementError::Damaged));
            }
        }
    }

    #[test]
    fn a_small_object_on_four_disks_needs_few_bytes() {
        let at = |disk, offset| {
            ShardPlace::Log(
                DiskNo(disk),
                Address {
                    segment: 12,
                    offset,
                },
            )
        };
        let placement = BlobPlacement {
            blob: BlobId((1 << 40) + 100_000),
            size: 4096,
            profile: Profile::new(2, 2).unwrap(),
            form: ShardForm::Inline,
            shards: vec![
                at(0, 50_000_000),
                at(1, 50_000_100),
                at(2, 49_999_000),
                at(3, 50_000_100),
            ],
        };
        let mut bytes = Vec::new();
        placement.encode_into(&mut bytes);
        assert!(bytes.len() <= 34, "{} bytes", bytes.len());
    }
}
