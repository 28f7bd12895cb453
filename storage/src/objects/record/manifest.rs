//! Which parts make up a completed multipart object: run-length coded, so that 10,000 parts fit a record.

use std::ops::Range;

use crate::{
    objects::names::{MAX_PARTS, PartNumber, UploadId},
    varint,
};

/// Consecutive part numbers of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::objects) struct Run {
    /// The first number.
    first: u16,
    /// How many, at least 1.
    count: u16,
    /// Bytes of each.
    size: u64,
}

/// The parts of an object, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::objects) struct Manifest {
    /// The upload under whose number the part records stay.
    pub(in crate::objects) upload: UploadId,
    runs: Vec<Run>,
}

impl Manifest {
    /// Of parts in strictly ascending order.
    pub(in crate::objects) fn new(
        upload: UploadId,
        parts: impl IntoIterator<Item = (PartNumber, u64)>,
    ) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (number, size) in parts {
            let number = number.get();
            match runs.last_mut() {
                Some(run) if run.size == size && run.first + run.count == number => run.count += 1,
                _ => runs.push(Run {
                    first: number,
                    count: 1,
                    size,
                }),
            }
        }
        Self { upload, runs }
    }

    /// Number and size of each part.
    pub(in crate::objects) fn parts(&self) -> impl Iterator<Item = (PartNumber, u64)> {
        self.runs.iter().flat_map(|run| {
            let numbers = run.first..run.first + run.count;
            numbers.filter_map(|n| Some((PartNumber::new(u32::from(n))?, run.size)))
        })
    }

    /// Whether `number` is one of them.
    pub(in crate::objects) fn contains(&self, number: PartNumber) -> bool {
        let at = self.runs.partition_point(|run| run.first <= number.get());
        let run = at.checked_sub(1).and_then(|at| self.runs.get(at));
        run.is_some_and(|run| number.get() - run.first < run.count)
    }

    /// Sum of the sizes.
    pub(in crate::objects) fn size(&self) -> Option<u64> {
        self.runs.iter().try_fold(0_u64, |sum, run| {
            sum.checked_add(run.size.checked_mul(u64::from(run.count))?)
        })
    }

    /// The parts that hold bytes of `range` of the object, each with the range within it.
    pub(in crate::objects) fn overlaps(&self, range: &Range<u64>) -> Vec<(PartNumber, Range<u64>)> {
        let mut start = 0;
        let mut found = Vec::new();
        for (number, size) in self.parts() {
            let end = start + size;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            if from < to {
                found.push((number, from - start..to - start));
            }
            start = end;
        }
        found
    }

    /// Upload, then per run: distance from the end of the run before (doubled, odd if a count follows), count, size.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.upload.to_bytes().to_vec();
        let mut next = 1;
        for run in &self.runs {
            varint::put(
                &mut out,
                u64::from(run.first - next) << 1 | u64::from(run.count > 1),
            );
            if run.count > 1 {
                varint::put(&mut out, u64::from(run.count));
            }
            varint::put(&mut out, run.size);
            next = run.first + run.count;
        }
        out
    }

    pub(super) fn take(input: &mut &[u8]) -> Option<Self> {
        let upload = UploadId::from_bytes(varint::take_bytes(input, 16)?.try_into().ok()?);
        let mut runs = Vec::new();
        let mut next = 1_u16;
        while !input.is_empty() {
            let run = take_run(input, next)?;
            next = run.first + run.count;
            runs.push(run);
        }
        Some(Self { upload, runs })
    }
}

fn take_run(input: &mut &[u8], next: u16) -> Option<Run> {
    let head = varint::take(input)?;
    let count = if head & 1 == 1 {
        varint::take(input)?
    } else {
        1
    };
    let first = u64::from(next).checked_add(head >> 1)?;
    let is_valid = count > 0 && first.checked_add(count)? <= u64::from(MAX_PARTS) + 1;
    let run = Run {
        first: u16::try_from(first).ok()?,
        count: u16::try_from(count).ok()?,
        size: varint::take(input)?,
    };
    is_valid.then_some(run)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UPLOAD: UploadId = UploadId {
        number: 7,
        secret: 8,
    };

    fn number(n: u16) -> PartNumber {
        PartNumber::new(u32::from(n)).unwrap()
    }

    fn manifest(parts: &[(u16, u64)]) -> Manifest {
        Manifest::new(UPLOAD, parts.iter().map(|&(n, size)| (number(n), size)))
    }

    #[test]
    fn ten_thousand_parts_of_distinct_sizes_fit_a_record() {
        let parts: Vec<_> = (1..=10_000)
            .map(|n| (n, (500 << 20) + u64::from(n)))
            .collect();
        let bytes = manifest(&parts).encode();
        assert!(bytes.len() <= 60_100, "{} bytes", bytes.len());
        let equal: Vec<_> = (1..=10_000).map(|n| (n, 8 << 20)).collect();
        assert!(manifest(&equal).encode().len() < 30);
    }

    #[test]
    fn a_range_finds_its_parts() {
        let parts = manifest(&[(1, 10), (2, 10), (5, 3), (9, 0), (10, 4)]);
        assert_eq!(parts.size(), Some(27));
        assert_eq!(parts.overlaps(&(0..27)).len(), 4);
        assert_eq!(
            parts.overlaps(&(9..11)),
            [(number(1), 9..10), (number(2), 0..1)]
        );
        assert_eq!(parts.overlaps(&(20..23)), [(number(5), 0..3)]);
        assert_eq!(parts.overlaps(&(5..5)), []);
        assert!(parts.contains(number(2)) && parts.contains(number(9)));
        assert!(!parts.contains(number(3)) && !parts.contains(number(11)));
    }

    proptest! {
        #[test]
        fn survives_the_round_trip(parts in prop::collection::btree_map(1..=10_000_u16, 0..3_u64, 0..60)) {
            let parts: Vec<_> = parts.into_iter().collect();
            let manifest = manifest(&parts);
            let bytes = manifest.encode();
            let mut input = bytes.as_slice();
            let decoded = Manifest::take(&mut input).unwrap();
            prop_assert_eq!(&decoded, &manifest);
            let back: Vec<_> = decoded.parts().map(|(n, size)| (n.get(), size)).collect();
            prop_assert_eq!(back, parts);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(manifest) = Manifest::take(&mut bytes.as_slice()) {
                prop_assert!(manifest.parts().count() <= 10_000);
                prop_assert!(manifest.size().is_none_or(|size| size >= manifest.parts().map(|(_, size)| size).max().unwrap_or(0)));
            }
        }
    }
}
