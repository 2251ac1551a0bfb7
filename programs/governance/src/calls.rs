//! What a proposal may call, and the call.
use core::mem::MaybeUninit;

use interface::call::{MAX_CALL_ACCOUNTS, invoke};
use interface::key::{TOKEN_PROGRAM, UPGRADEABLE_LOADER};
use interface::{Account, Error, Key, Meta, Result, Seed, digest, require};

use crate::generated::*;

/// The token program's Transfer and TransferChecked, by first byte and length.
const TRANSFERS: [(u8, usize); 2] = [(3, 9), (12, 10)];
/// The loader's Upgrade, the place of the buffer among its accounts, and of the image in the buffer
/// (solana-loader-v3-interface).
const UPGRADE: [u8; 4] = [3, 0, 0, 0];
const BUFFER: usize = 2;
const IMAGE_AT: usize = 37;
const SIGNS: u8 = 1;
const WRITES: u8 = 2;
/// Bytes hashed for each account: its key and its flags.
const ENTRY: usize = 33;

/// Refuse a proposal whose call its kind does not allow.
#[inline(never)]
pub fn check(config: &Config, this: &Key, proposal: &ProposeArguments) -> Result {
    let (program, payload) = (&proposal.program, proposal.payload);
    let count = (config.program_count as usize).min(config.programs.len());
    let valid = match proposal.kind {
        Kind::MARKET_PARAMETER => *program == config.markets && sets(payload),
        Kind::STAKING_PARAMETER => {
            (program == this || config.programs[..count].contains(program)) && sets(payload)
        }
        Kind::TREASURY_SPEND => {
            let shape = payload.first().map(|first| (*first, payload.len()));
            *program == TOKEN_PROGRAM && shape.is_some_and(|shape| TRANSFERS.contains(&shape))
        }
        Kind::PROGRAM_UPGRADE => *program == UPGRADEABLE_LOADER && *payload == UPGRADE,
        _ => payload.is_empty(),
    };
    require!(valid, errors::BAD_PROGRAM);
    Ok(())
}

/// Whether a call only sets what its program lets an authority set. The address that signs it also holds the treasury, which
/// other instructions could move.
#[inline(always)]
fn sets(payload: &[u8]) -> bool {
    let settings = [
        markets::calls::SET_PARAMETERS,
        markets::calls::SET_MARKET,
        nodes::calls::SET_VERIFIERS,
        token::calls::SET_DESTINATIONS,
    ];
    payload.first_chunk::<8>().is_some_and(|name| settings.contains(name))
}

/// Make the call, signed by this program's address, with exactly the accounts that were voted on. A text calls nothing.
#[inline(never)]
pub fn call(config: &Config, proposal: &Proposal, accounts: &[Account]) -> Result {
    if proposal.kind == Kind::TEXT {
        return Ok(());
    }
    let count = accounts.len();
    require!(count <= MAX_CALL_ACCOUNTS, Error::WRONG_ACCOUNT_COUNT);
    let mut metas = [const { MaybeUninit::<Meta>::uninit() }; MAX_CALL_ACCOUNTS];
    let mut hashed = [0; ENTRY * MAX_CALL_ACCOUNTS];
    let mut index = 0;
    while index < count {
        let account = accounts[index];
        let signs = *account.key() == config.signer;
        let flags = if signs { SIGNS } else { 0 } | if account.is_writable() { WRITES } else { 0 };
        let entry = &mut hashed[index * ENTRY..(index + 1) * ENTRY];
        entry[..32].copy_from_slice(account.key().bytes());
        entry[32] = flags;
        metas[index] = MaybeUninit::new(Meta::with(account, signs, account.is_writable()));
        index += 1;
    }
    // Until the buffer is handed over, its holder can still write to it: the vote is on bytes, not on an address.
    let image = match accounts.get(BUFFER) {
        Some(buffer) if proposal.kind == Kind::PROGRAM_UPGRADE => buffer.data().get(IMAGE_AT..).unwrap_or(&[]),
        _ => &[],
    };
    let digest = digest::sha256(&[&hashed[..count * ENTRY], image]);
    require!(*digest.bytes() == proposal.accounts, errors::WRONG_ACCOUNTS);
    let metas = unsafe { core::slice::from_raw_parts(metas.as_ptr() as *const Meta, count) };
    let payload = &proposal.payload[..(proposal.payload_length as usize).min(proposal.payload.len())];
    let bump = [config.signer_bump];
    invoke(&proposal.program, metas, payload, accounts, &[Seed::new(b"authority"), Seed::new(&bump)])
}
