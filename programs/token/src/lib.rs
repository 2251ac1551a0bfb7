//! HYPER: what is locked is unlocked month by month by anyone, and every burn is recorded for ever.
#![no_std]

mod generated;

use generated::*;
use interface::math::{add, later, mul, share, sub};
use interface::{Input, RecordMut, Result, Seed, clock, entrypoint, require, token};

entrypoint!(dispatch);

const DECIMALS: u8 = 6;
const BURN_OF_UNLOCK: [u8; 32] = *b"unlock\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const BURN_OF_COLLECTION: [u8; 32] = *b"collection\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, _: &Input) -> Result {
    let mint = &accounts.mint;
    let valid = mint.decimals() == DECIMALS && mint.supply() == SUPPLY && mint.is_final();
    require!(valid, errors::NOT_THAT_MINT);
    let vesting = &mut accounts.vesting;
    vesting.authority = arguments.authority;
    vesting.mint = *mint.key();
    vesting.vault = *accounts.vault.key();
    vesting.collection = *accounts.collection.key();
    vesting.stakers = *accounts.stakers.key();
    vesting.operations = *accounts.operations.key();
    vesting.start = arguments.start;
    vesting.left = LOCKED;
    vesting.bump = accounts.vesting_bump;
    token::transfer(&accounts.source, &accounts.vault, accounts.deployer.account(), LOCKED, &[])
}

fn set_destinations(accounts: &mut SetDestinationsAccounts, _: &Input) -> Result {
    accounts.vesting.stakers = *accounts.stakers.key();
    accounts.vesting.operations = *accounts.operations.key();
    Ok(())
}

fn unlock(accounts: &mut UnlockAccounts, arguments: &UnlockArguments, _: &Input) -> Result {
    let vesting = &mut accounts.vesting;
    require!(vesting.cycles < CYCLES, errors::NOTHING_LEFT);
    // Named by the caller, so that a transaction sent twice cannot unlock two cycles that are both due.
    require!(arguments.cycle == vesting.cycles, errors::NOT_DUE);
    let time = clock::now()?.time;
    require!(time >= later(vesting.start, mul(vesting.cycles, CYCLE_SECONDS)?)?, errors::NOT_DUE);
    let amount = if vesting.cycles == 0 { FIRST_UNLOCK } else { LATER_UNLOCK };
    let burned = share(amount, BURN_BPS)?;
    let stakers = share(amount, STAKERS_BPS)?;
    let operations = sub(sub(amount, burned)?, stakers)?;
    let cycle = vesting.cycles;
    vesting.cycles = add(cycle, 1)?;
    vesting.left = sub(vesting.left, amount)?;

    let bump = [vesting.bump];
    let seeds = [Seed::new(b"vesting"), Seed::new(&bump)];
    let authority = vesting.account();
    token::burn(&accounts.vault, &accounts.mint, authority, burned, &seeds)?;
    token::transfer(&accounts.vault, &accounts.stakers, authority, stakers, &seeds)?;
    token::transfer(&accounts.vault, &accounts.operations, authority, operations, &seeds)?;
    record(&mut accounts.ledger, &mut accounts.burn, cycle, burned, BURN_OF_UNLOCK, time)?;
    Unlocked { cycle, amount, burned, stakers, operations }.emit();
    Ok(())
}

fn burn_tokens(accounts: &mut BurnTokensAccounts, arguments: &BurnTokensArguments, _: &Input) -> Result {
    require!(arguments.amount > 0, errors::NOTHING_TO_BURN);
    token::burn(&accounts.source, &accounts.mint, accounts.holder.account(), arguments.amount, &[])?;
    let cycle = accounts.vesting.cycles;
    let time = clock::now()?.time;
    record(&mut accounts.ledger, &mut accounts.burn, cycle, arguments.amount, arguments.reference, time)
}

fn burn_collection(accounts: &mut BurnCollectionAccounts, _: &BurnCollectionArguments, _: &Input) -> Result {
    let amount = accounts.collection.amount();
    require!(amount > 0, errors::NOTHING_TO_BURN);
    let bump = [accounts.vesting.bump];
    let seeds = [Seed::new(b"vesting"), Seed::new(&bump)];
    token::burn(&accounts.collection, &accounts.mint, accounts.vesting.account(), amount, &seeds)?;
    let cycle = accounts.vesting.cycles;
    let time = clock::now()?.time;
    record(&mut accounts.ledger, &mut accounts.burn, cycle, amount, BURN_OF_COLLECTION, time)
}

/// Write a burn into its record and the sum.
#[inline(always)]
fn record(
    ledger: &mut RecordMut<BurnLedger>,
    burn: &mut RecordMut<Burn>,
    cycle: u64,
    amount: u64,
    reference: [u8; 32],
    time: i64,
) -> Result {
    let index = ledger.count;
    let cumulative = add(ledger.cumulative, amount)?;
    ledger.count = add(index, 1)?;
    ledger.cumulative = cumulative;
    burn.index = index;
    burn.cycle = cycle;
    burn.amount = amount;
    burn.cumulative = cumulative;
    burn.reference = reference;
    burn.time = time;
    Burned { index, cycle, amount, cumulative, reference }.emit();
    Ok(())
}

const _: () = assert!(LOCKED == FIRST_UNLOCK + (CYCLES - 1) * LATER_UNLOCK);
