//! Streaming MD5 of one body, and the state that the lanes work on.

use super::md5_kernel::{self, BLOCK_BYTES, Level};

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// A streaming MD5 hasher.
#[derive(Clone, Debug)]
pub struct Md5 {
    pub(super) state: [u32; 4],
    /// The bytes after the last whole block.
    tail: [u8; BLOCK_BYTES],
    tail_len: usize,
    len_bytes: u64,
    level: Level,
}

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5 {
    /// A hasher that has seen nothing, on the fastest level of this machine.
    pub fn new() -> Self {
        Self::with_level(Level::best())
    }

    /// A hasher on a given level; for tests and measurements.
    pub fn with_level(level: Level) -> Self {
        Self {
            state: START,
            tail: [0; BLOCK_BYTES],
            tail_len: 0,
            len_bytes: 0,
            level,
        }
    }

    /// The digest of one buffer.
    pub fn digest(data: &[u8]) -> [u8; 16] {
        let mut md5 = Self::new();
        md5.update(data);
        md5.finish()
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        let data = &data[self.fill_tail(data)..];
        let whole = data.len() - data.len() % BLOCK_BYTES;
        if whole > 0 {
            md5_kernel::single(self.level, &mut self.state, &data[..whole]);
            self.len_bytes += whole as u64;
        }
        self.fill_tail(&data[whole..]);
    }

    /// Takes what is needed to end a begun block, or all of `data` if it is less than a block.
    /// Returns how much was taken; after that the tail is empty or `data` is used up.
    pub(super) fn fill_tail(&mut self, data: &[u8]) -> usize {
        if self.tail_len == 0 && data.len() >= BLOCK_BYTES {
            return 0;
        }
        let take = data.len().min(BLOCK_BYTES - self.tail_len);
        self.tail[self.tail_len..self.tail_len + take].copy_from_slice(&data[..take]);
        self.tail_len += take;
        self.len_bytes += take as u64;
        if self.tail_len == BLOCK_BYTES {
            md5_kernel::single(self.level, &mut self.state, &self.tail);
            self.tail_len = 0;
        }
        take
    }

    /// Notes whole blocks that the lanes have worked into the state.
    pub(super) fn count_blocks(&mut self, blocks: usize) {
        self.len_bytes += (blocks * BLOCK_BYTES) as u64;
    }

    /// The digest of all bytes added.
    pub fn finish(mut self) -> [u8; 16] {
        let bits = self.len_bytes.wrapping_mul(8).to_le_bytes();
        let padding = if self.tail_len < 56 { 56 } else { 120 } - self.tail_len;
        let mut end = [0; 2 * BLOCK_BYTES];
        end[0] = 0x80;
        end[padding..padding + 8].copy_from_slice(&bits);
        self.update(&end[..padding + 8]);
        let mut digest = [0; 16];
        for (out, word) in digest.chunks_exact_mut(4).zip(self.state) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_the_test_suite_of_rfc_1321_on_every_level() {
        let suite = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "abcdefghijklmnopqrstuvwxyz",
                "c3fcd3d76192e4007dfb496cca67e13b",
            ),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ];
        for level in Level::available() {
            for (text, digest) in suite {
                let mut md5 = Md5::with_level(level);
                md5.update(text.as_bytes());
                assert_eq!(hex::encode(md5.finish()), digest, "{level:?} {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_on_any_level_gives_the_same_digest(
            data in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
        ) {
            let mut reference = Md5::with_level(Level::Scalar);
            reference.update(&data);
            let expected = reference.finish();
            for level in Level::available() {
                let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (data.len() + 1)).collect();
                cuts.push(data.len());
                cuts.sort_unstable();
                let (mut md5, mut at) = (Md5::with_level(level), 0);
                for cut in cuts {
                    md5.update(&data[at..cut]);
                    at = cut;
                }
                prop_assert_eq!(md5.finish(), expected);
            }
        }
    }
}
