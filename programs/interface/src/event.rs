//! Events: the program's log, in Anchor's form.
use crate::{Seed, syscalls};

syscalls! {
    fn sol_log_data(parts: *const u8, count: u64) -> ();
}

/// Log an event: its discriminator and its fields in Borsh.
#[inline(always)]
pub fn emit(event: &[u8]) {
    let part = [Seed::new(event)];
    unsafe { sol_log_data(part.as_ptr() as *const u8, 1) }
}
