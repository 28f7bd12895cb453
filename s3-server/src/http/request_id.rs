//! Request ids: unique, unguessable enough not to be confused, and cheap.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
};

use http::HeaderValue;
use larder_storage::rng::Rng;

/// The id of one request: 16 upper-case hex digits, as AWS's look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

/// Gives out ids: a counter from a random start, mixed so that neighbours look unlike.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl RequestIds {
    /// A sequence that starts at a random place.
    pub fn new(rng: &dyn Rng) -> Self {
        Self(AtomicU64::new(rng.next_u64()))
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId(z ^ (z >> 31))
    }
}

impl RequestId {
    /// The id as a header value.
    pub fn header(self) -> HeaderValue {
        let digits = self.digits();
        HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }

    fn digits(self) -> [u8; 16] {
        let mut digits = [b'0'; 16];
        for (i, digit) in digits.iter_mut().enumerate() {
            let nibble = (self.0 >> (60 - 4 * i)) & 15;
            *digit = b"0123456789ABCDEF"[usize::try_from(nibble).unwrap_or(0)];
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|&digit| f.write_char(char::from(digit)))
    }
}

#[cfg(test)]
mod tests {
    use larder_storage::rng::SeededRng;

    use super::*;

    #[test]
    fn ids_differ_and_are_16_hex_digits() {
        let ids = RequestIds::new(&SeededRng::new(1));
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a, b);
        assert_eq!(a.to_string().len(), 16);
        assert_eq!(a.header().to_str().unwrap(), a.to_string());
        assert!(a.to_string().bytes().all(|d| d.is_ascii_digit() || (b'A'..=b'F').contains(&d)));
    }
}
