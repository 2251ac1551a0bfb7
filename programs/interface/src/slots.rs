//! Hashes of past slots: chance that nobody can choose after the fact.
use core::mem::MaybeUninit;

use crate::key::SLOT_HASHES_SYSVAR;
use crate::{Error, Key, Result, syscalls};

/// Slots whose hashes the runtime keeps.
const KEPT: u64 = 512;

syscalls! {
    fn sol_get_sysvar(sysvar: *const Key, into: *mut u8, offset: u64, length: u64) -> u64;
}

#[inline(always)]
fn read<T>(offset: u64) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let length = core::mem::size_of::<T>() as u64;
    let status = unsafe { sol_get_sysvar(&SLOT_HASHES_SYSVAR, value.as_mut_ptr() as *mut u8, offset, length) };
    if status == 0 { Ok(unsafe { value.assume_init() }) } else { Err(Error::SYSVAR) }
}

/// The hash of the first slot from `slot` on that had a block, or nothing when that slot is to come or forgotten.
///
/// The sysvar is a vector of (slot, hash), newest first (solana-slot-hashes); leaders may skip slots, so it is searched.
pub fn hash_from(slot: u64) -> Result<Option<Key>> {
    let count = read::<u64>(0)?;
    if count == 0 || count > KEPT {
        return Ok(None);
    }
    let slot_at = |index: u64| read::<u64>(8 + index * 40);
    if slot_at(0)? < slot || slot_at(count - 1)? > slot {
        return Ok(None);
    }
    // Entries below `found` are newer than `slot` or that slot; those from `older` on are older.
    let (mut found, mut older) = (0, count);
    while older - found > 1 {
        let middle = found + (older - found) / 2;
        if slot_at(middle)? >= slot {
            found = middle;
        } else {
            older = middle;
        }
    }
    Ok(Some(read::<Key>(8 + found * 40 + 8)?))
}
