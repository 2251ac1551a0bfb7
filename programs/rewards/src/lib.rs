//! Rewards: one number grows with each distribution, and every stake's earnings follow from it and the stake's own record.
//!
//! Weights are read from staking's records, never from the caller. Staking settles a stake's earnings at each change of
//! its weight; what is added since is computed here, and what was paid before is kept here, so nothing is paid twice.
#![no_std]

mod generated;

use generated::*;
use interface::math::{add, sub};
use interface::{Input, Result, Seed, U128, entrypoint, require, token};

entrypoint!(dispatch);

/// What the accumulator is scaled by; staking has the same.
const SCALE: u64 = 1_000_000_000_000;

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, _: &Input) -> Result {
    let pool = &mut accounts.pool;
    pool.mint = *accounts.mint.key();
    pool.vault = *accounts.vault.key();
    pool.staking = arguments.staking;
    pool.staking_pool = arguments.staking_pool;
    pool.bump = accounts.pool_bump;
    Ok(())
}

fn distribute(accounts: &mut DistributeAccounts, _: &Input) -> Result {
    let pool = &mut accounts.pool;
    let total_weight = accounts.staking_pool.weight;
    require!(total_weight > 0, errors::NOBODY_STAKES);
    let amount = sub(accounts.vault.amount(), pool.held)?;
    let grown = U128::product(amount, SCALE).divide(total_weight)?;
    // What flooring leaves waits for the next time, else whoever distributes often enough would leave nothing to anybody.
    let up = U128 { low: SCALE - 1, high: 0 };
    let amount = grown.times(total_weight)?.plus(up)?.divide(SCALE)?.word()?;
    pool.accumulator = pool.accumulator.plus(grown)?;
    pool.held = add(pool.held, amount)?;
    pool.distributed = pool.distributed.saturating_add(amount);
    Distributed { amount, total_weight, accumulator: pool.accumulator }.emit();
    Ok(())
}

fn register(accounts: &mut RegisterAccounts, _: &Input) -> Result {
    accounts.claim.stake = *accounts.stake.key();
    Ok(())
}

fn claim(accounts: &mut ClaimAccounts, _: &Input) -> Result {
    let (pool, stake, claim) = (&mut accounts.pool, &accounts.stake, &mut accounts.claim);
    let since = pool.accumulator.minus(stake.snapshot)?.times(stake.weight)?.divide(SCALE)?.word()?;
    let earned = add(stake.earned, since)?;
    let amount = sub(earned, claim.claimed)?;
    require!(amount > 0, errors::NOTHING_TO_CLAIM);
    claim.claimed = earned;
    pool.held = sub(pool.held, amount)?;
    pool.paid = pool.paid.saturating_add(amount);
    Claimed { stake: *stake.key(), owner: stake.owner, amount }.emit();
    let bump = [pool.bump];
    let seeds = [Seed::new(b"pool"), Seed::new(&bump)];
    token::transfer(&accounts.vault, &accounts.destination, pool.account(), amount, &seeds)
}
