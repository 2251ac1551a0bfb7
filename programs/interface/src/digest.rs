//! SHA-256 by syscall.
use core::mem::MaybeUninit;

use crate::{Key, Seed, syscalls};

syscalls! {
    fn sol_sha256(parts: *const u8, count: u64, digest: *mut Key) -> u64;
}

/// The digest of these parts one after the other, as a key so that it compares by words.
#[inline(always)]
pub fn sha256(parts: &[&[u8]]) -> Key {
    let mut digest = MaybeUninit::<Key>::uninit();
    let mut slices = [Seed::new(&[]); 8];
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = Seed::new(part);
    }
    unsafe {
        sol_sha256(slices.as_ptr() as *const u8, parts.len() as u64, digest.as_mut_ptr());
        digest.assume_init()
    }
}
