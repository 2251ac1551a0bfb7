//! Making accounts.
use core::mem::MaybeUninit;

use crate::call::{Meta, Seed, find_address, invoke};
use crate::key::SYSTEM_PROGRAM;
use crate::{Account, Error, Key, Result, syscalls};

/// Seeds of an address here, with its bump.
const MAX_SEEDS: usize = 6;

syscalls! {
    fn sol_get_rent_sysvar(rent: *mut [u64; 3]) -> u64;
}

/// Lamports that exempt an account of this many bytes from rent.
///
/// Rent is lamports a byte and year, times a number of years that is a float; it is 2 everywhere, or 1 once SIMD-0194 has
/// folded it into the rate. Another value is refused, because a program cannot multiply floats.
#[inline(always)]
pub fn rent(bytes: usize) -> Result<u64> {
    let mut rent = MaybeUninit::<[u64; 3]>::uninit();
    if unsafe { sol_get_rent_sysvar(rent.as_mut_ptr()) } != 0 {
        return Err(Error::SYSVAR);
    }
    let [rate, years, _] = unsafe { rent.assume_init() };
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    const TWO: u64 = 0x4000_0000_0000_0000;
    let years = match years {
        ONE => 1,
        TWO => 2,
        _ => return Err(Error::SYSVAR),
    };
    // Rates are below 2^32 and accounts below 2^24 bytes, so this cannot overflow unless the sysvar is absurd.
    if rate >> 32 != 0 { Err(Error::SYSVAR) } else { Ok((bytes as u64 + 128) * rate * years) }
}

/// An account to be made.
pub struct Creation<'a, 'b> {
    pub account: Account<'a>,
    pub payer: Account<'a>,
    /// The program whose address it is; `owner` is the one that gets it.
    pub program: &'b Key,
    pub owner: &'b Key,
    pub space: usize,
    pub seeds: &'b [Seed<'b>],
}

/// Make the account of these seeds, with `space` zero bytes, owned by `owner`, paid by `payer`. Returns its bump.
///
/// The account must be at the canonical address of the seeds under `program` and be nobody's yet. That somebody sent
/// lamports there before does not stop it, else anyone could jam any address.
#[inline(never)]
pub fn create(wanted: &Creation) -> Result<u8> {
    let &Creation { account, payer, owner, seeds, space, .. } = wanted;
    account.require_writable(true)?;
    let (address, bump) = find_address(seeds, wanted.program)?;
    if *account.key() != address {
        return Err(Error::WRONG_ADDRESS);
    }
    if *account.owner() != SYSTEM_PROGRAM || !account.is_empty() {
        return Err(Error::ALREADY_EXISTS);
    }
    let bumps = [bump];
    let mut signer = [Seed::new(&bumps); MAX_SEEDS];
    if seeds.len() >= MAX_SEEDS {
        return Err(Error::WRONG_ADDRESS);
    }
    let mut index = 0;
    while index < seeds.len() {
        signer[index] = seeds[index];
        index += 1;
    }
    let signer = &signer[..seeds.len() + 1];
    let deposit = rent(space)?;
    let there = unsafe { *account.lamports() };
    if there == 0 {
        let mut data = [0; 52];
        data[4..12].copy_from_slice(&deposit.to_le_bytes());
        data[12..20].copy_from_slice(&(space as u64).to_le_bytes());
        data[20..52].copy_from_slice(owner.bytes());
        let metas = [Meta::sign_and_write(payer), Meta::sign_and_write(account)];
        invoke(&SYSTEM_PROGRAM, &metas, &data, &[payer, account], signer)?;
        return Ok(bump);
    }
    take_over(wanted, signer, deposit.saturating_sub(there))?;
    Ok(bump)
}

/// The longer way for an account that somebody gave lamports: top it up, allocate, assign.
#[inline(never)]
fn take_over(wanted: &Creation, signer: &[Seed], missing: u64) -> Result {
    let &Creation { account, payer, .. } = wanted;
    if missing > 0 {
        let mut data = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        data[4..12].copy_from_slice(&missing.to_le_bytes());
        let metas = [Meta::sign_and_write(payer), Meta::write(account)];
        invoke(&SYSTEM_PROGRAM, &metas, &data, &[payer, account], &[])?;
    }
    let mut allocate = [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    allocate[4..12].copy_from_slice(&(wanted.space as u64).to_le_bytes());
    invoke(&SYSTEM_PROGRAM, &[Meta::sign_and_write(account)], &allocate, &[account], signer)?;
    let mut assign = [0; 36];
    assign[0] = 1;
    assign[4..36].copy_from_slice(wanted.owner.bytes());
    invoke(&SYSTEM_PROGRAM, &[Meta::sign_and_write(account)], &assign, &[account], signer)
}
