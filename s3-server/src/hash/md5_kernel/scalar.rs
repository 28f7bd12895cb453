//! Portable MD5: the fallback, and the oracle of the other kernels.

use super::{BLOCK_BYTES, K, steps};

/// Works whole blocks into the state; bytes after the last whole block are left out.
pub(super) fn compress(state: &mut [u32; 4], data: &[u8]) {
    for block in data.chunks_exact(BLOCK_BYTES) {
        compress_block(state, block);
    }
}

fn compress_block(state: &mut [u32; 4], block: &[u8]) {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d] = *state;
    macro_rules! step {
        ($f:ident, $a:ident, $b:ident, $c:ident, $d:ident, $w:literal, $s:literal, $k:expr) => {
            $a = early($a.wrapping_add(words[$w]).wrapping_add(K[$k]));
            $a = $f($a, $b, $c, $d).rotate_left($s).wrapping_add($b);
        };
    }
    steps!(step, a, b, c, d);
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[inline]
fn f(a: u32, b: u32, c: u32, d: u32) -> u32 {
    a.wrapping_add(d ^ (b & (c ^ d)))
}

/// The two halves have no bit in common, so that they can be added one after the other: the one
/// that does not need the newest word first.
#[inline]
fn g(a: u32, b: u32, c: u32, d: u32) -> u32 {
    early(a.wrapping_add(c & !d)).wrapping_add(b & d)
}

#[inline]
fn h(a: u32, b: u32, c: u32, d: u32) -> u32 {
    a.wrapping_add(b ^ (c ^ d))
}

#[inline]
fn i(a: u32, b: u32, c: u32, d: u32) -> u32 {
    a.wrapping_add(c ^ (b | !d))
}

/// Returns its argument, and keeps the compiler from moving the newest value of a step to the front
/// of its sum: the chain of a step is what limits one body's speed.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code, reason = "an empty assembly statement")]
fn early(mut sum: u32) -> u32 {
    // SAFETY: no instructions; the register is only marked as changed.
    unsafe {
        std::arch::asm!("/* {0:e} */", inout(reg) sum, options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Returns its argument; only x86-64 has been measured.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn early(sum: u32) -> u32 {
    sum
}
