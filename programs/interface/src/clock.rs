//! The cluster's clock.
use core::mem::MaybeUninit;

use crate::{Error, Result, syscalls};

/// Slot, and Unix seconds.
#[derive(Clone, Copy)]
pub struct Clock {
    pub slot: u64,
    pub time: i64,
}

syscalls! {
    fn sol_get_clock_sysvar(clock: *mut [u64; 5]) -> u64;
}

/// The clock of the block that this transaction is in.
#[inline(always)]
pub fn now() -> Result<Clock> {
    let mut clock = MaybeUninit::<[u64; 5]>::uninit();
    if unsafe { sol_get_clock_sysvar(clock.as_mut_ptr()) } != 0 {
        return Err(Error::SYSVAR);
    }
    let [slot, _, _, _, time] = unsafe { clock.assume_init() };
    Ok(Clock { slot, time: time as i64 })
}
