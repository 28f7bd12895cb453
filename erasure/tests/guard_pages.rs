//! No kernel touches a byte outside of its buffers: each buffer ends, or begins, at a page that
//! cannot be accessed, for every length of tail.

#![allow(
    clippy::unwrap_used,
    reason = "test code, also outside of #[test] functions"
)]
#![cfg(unix)]
#![expect(unsafe_code, reason = "maps pages without access")]

use std::ptr::null_mut;

use larder_erasure::Codec;

mod support;
use support::{Random, codecs};

/// A few pages between two that cannot be accessed.
struct Guarded {
    pages: *mut u8,
    inner_bytes: usize,
}

impl Guarded {
    fn new() -> Self {
        // SAFETY: asks for new memory, and takes access away from its own first and last page.
        unsafe {
            let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(null_mut(), 3 * page, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start, page, libc::PROT_NONE), 0);
            assert_eq!(
                libc::mprotect(start.byte_add(2 * page), page, libc::PROT_NONE),
                0
            );
            Self {
                pages: start.byte_add(page).cast(),
                inner_bytes: page,
            }
        }
    }

    /// `length` bytes that end, or begin, at a guard page.
    fn slice(&mut self, length: usize, at_end: bool) -> &mut [u8] {
        assert!(length <= self.inner_bytes);
        let skipped = if at_end { self.inner_bytes - length } else { 0 };
        // SAFETY: lies within the accessible page, which is borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.pages.add(skipped), length) }
    }
}

fn check(codec: &Codec, memory: &mut [Guarded], length: usize, at_end: bool) {
    let profile = codec.profile();
    let (k, m) = (profile.data(), profile.parity());
    let (shards, spare) = memory.split_at_mut(k + m);
    let mut shards: Vec<&mut [u8]> = shards.iter_mut().map(|g| g.slice(length, at_end)).collect();
    let (data, parity) = shards.split_at_mut(k);
    let mut random = Random(length as u64);
    for shard in data.iter_mut() {
        random.fill(shard);
    }
    let data: Vec<&[u8]> = data.iter().map(|shard| &**shard).collect();
    codec.encode(&data, parity).unwrap();
    codec.update(0, data[0], data[0], parity).unwrap();
    let parity: Vec<&[u8]> = parity.iter().map(|shard| &**shard).collect();
    assert_eq!(codec.verify(&data, &parity), Ok(true));

    let total = u8::try_from(k + m).unwrap();
    let present: Vec<u8> = (u8::try_from(m).unwrap()..total).collect();
    let want: Vec<u8> = (0..u8::try_from(m).unwrap()).collect();
    let plan = codec.plan(&present, &want).unwrap();
    let all: Vec<&[u8]> = data.iter().chain(&parity).copied().collect();
    let sources: Vec<&[u8]> = plan
        .sources()
        .iter()
        .map(|&i| all[usize::from(i)])
        .collect();
    let mut rebuilt: Vec<&mut [u8]> = spare
        .iter_mut()
        .take(m)
        .map(|g| g.slice(length, at_end))
        .collect();
    plan.run(&sources, &mut rebuilt).unwrap();
    assert!(
        rebuilt.iter().zip(&all).all(|(a, b)| a == b),
        "{profile} {length}"
    );
}

#[test]
fn no_level_reads_or_writes_beyond_a_buffer() {
    let mut memory: Vec<Guarded> = (0..16).map(|_| Guarded::new()).collect();
    for profile in ["3+1", "4+2", "5+3", "6+4", "5+5"] {
        for codec in codecs(profile.parse().unwrap()) {
            for length in 0..=330 {
                check(&codec, &mut memory, length, true);
                check(&codec, &mut memory, length, false);
            }
        }
    }
}
