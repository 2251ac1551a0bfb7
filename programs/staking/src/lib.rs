//! Stakes: tokens locked for days, and the weight that gives.
//!
//! Rewards are never moved here. At each change of a stake's weight, what it earned so far is added to `earned`, by the
//! accumulator in rewards' pool, which this program only reads; rewards' `claim` pays what is earned and not yet claimed.
#![no_std]

mod generated;

use generated::*;
use interface::clock::Clock;
use interface::math::{add as plus, later, mul, mul_div, share, sub};
use interface::{Input, Record, RecordMut, Result, Seed, TokenAccount, U128, clock, entrypoint, require, token};

entrypoint!(dispatch);

/// What the accumulator is scaled by.
const SCALE: u64 = 1_000_000_000_000;
const MOST_LEAST_AMOUNT: u64 = 1_000_000_000_000;

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, _: &Input) -> Result {
    check(&arguments.parameters)?;
    let pool = &mut accounts.pool;
    pool.authority = arguments.authority;
    pool.slasher = arguments.slasher;
    pool.slashed = *accounts.slashed.key();
    pool.rewards = arguments.rewards;
    pool.rewards_pool = arguments.rewards_pool;
    pool.mint = *accounts.mint.key();
    pool.vault = *accounts.vault.key();
    pool.parameters = arguments.parameters;
    pool.bump = accounts.pool_bump;
    Ok(())
}

fn set_parameters(accounts: &mut SetParametersAccounts, arguments: &SetParametersArguments, _: &Input) -> Result {
    check(&arguments.parameters)?;
    accounts.pool.parameters = arguments.parameters;
    Ok(())
}

/// The bounds that no vote can change.
fn check(parameters: &Parameters) -> Result {
    let valid = parameters.shortest_days as u64 >= SHORTEST_LOCK_DAYS
        && parameters.longest_days as u64 <= LONGEST_LOCK_DAYS
        && parameters.shortest_days <= parameters.longest_days
        && parameters.least_amount > 0
        && parameters.least_amount <= MOST_LEAST_AMOUNT
        && parameters.padding == [0; 4];
    require!(valid, errors::BAD_PARAMETERS);
    Ok(())
}

fn open(accounts: &mut OpenAccounts, arguments: &OpenArguments, _: &Input) -> Result {
    let stake = &mut accounts.stake;
    stake.owner = arguments.owner;
    stake.id = arguments.id;
    stake.bump = accounts.stake_bump;
    Ok(())
}

fn stake(accounts: &mut StakeAccounts, arguments: &StakeArguments, _: &Input) -> Result {
    let (pool, stake) = (&mut accounts.pool, &mut accounts.stake);
    require!(stake.state == StakeState::WITHDRAWN, errors::NOT_WITHDRAWN);
    let bounds = pool.parameters;
    let allowed = arguments.days >= bounds.shortest_days && arguments.days <= bounds.longest_days;
    require!(allowed, errors::LOCK_OUT_OF_BOUNDS);
    require!(arguments.amount >= bounds.least_amount, errors::TOO_LITTLE);
    require_distributed(pool, &accounts.rewards_pool, &accounts.rewards_vault)?;
    let now = clock::now()?;
    stake.state = StakeState::ACTIVE;
    stake.days = arguments.days;
    stake.amount = arguments.amount;
    stake.locked_at = now.time;
    stake.free_at = 0;
    pool.amount = plus(pool.amount, arguments.amount)?;
    reweigh(pool, stake, &accounts.rewards_pool, now)?;
    token::transfer(&accounts.source, &accounts.vault, accounts.owner.account(), arguments.amount, &[])
}

fn add(accounts: &mut AddAccounts, arguments: &AddArguments, _: &Input) -> Result {
    let (pool, stake) = (&mut accounts.pool, &mut accounts.stake);
    require!(stake.state == StakeState::ACTIVE, errors::NOT_ACTIVE);
    require!(stake.reports == 0, errors::FROZEN);
    require!(arguments.amount > 0, errors::TOO_LITTLE);
    require_distributed(pool, &accounts.rewards_pool, &accounts.rewards_vault)?;
    stake.amount = plus(stake.amount, arguments.amount)?;
    pool.amount = plus(pool.amount, arguments.amount)?;
    reweigh(pool, stake, &accounts.rewards_pool, clock::now()?)?;
    token::transfer(&accounts.source, &accounts.vault, accounts.owner.account(), arguments.amount, &[])
}

fn unstake(accounts: &mut UnstakeAccounts, _: &Input) -> Result {
    let (pool, stake) = (&mut accounts.pool, &mut accounts.stake);
    // Also under report: its tokens stay where a slash finds them, and the cooldown is what bounds how long.
    require!(stake.state == StakeState::ACTIVE, errors::NOT_ACTIVE);
    let now = clock::now()?;
    stake.state = StakeState::UNSTAKING;
    stake.free_at = later(now.time, mul(stake.days as u64, DAY_SECONDS)?)?;
    reweigh(pool, stake, &accounts.rewards_pool, now)
}

fn withdraw(accounts: &mut WithdrawAccounts, _: &Input) -> Result {
    let (pool, stake) = (&mut accounts.pool, &mut accounts.stake);
    require!(stake.state == StakeState::UNSTAKING, errors::NOT_UNSTAKING);
    require!(stake.reports == 0, errors::FROZEN);
    require!(clock::now()?.time >= stake.free_at, errors::STILL_COOLING);
    let amount = stake.amount;
    stake.state = StakeState::WITHDRAWN;
    stake.amount = 0;
    pool.amount = sub(pool.amount, amount)?;
    let bump = [pool.bump];
    let seeds = [Seed::new(b"pool"), Seed::new(&bump)];
    token::transfer(&accounts.vault, &accounts.destination, pool.account(), amount, &seeds)
}

fn freeze(accounts: &mut FreezeAccounts, _: &Input) -> Result {
    let stake = &mut accounts.stake;
    require!(stake.state != StakeState::WITHDRAWN, errors::NOT_ACTIVE);
    // The cooldown was the time to report it. Later reports could keep a stake for ever, one after the other.
    let leaving = stake.state == StakeState::UNSTAKING && clock::now()?.time >= stake.free_at;
    require!(!leaving, errors::REPORTED_TOO_LATE);
    stake.reports = stake.reports.checked_add(1).ok_or(errors::TOO_MANY_REPORTS)?;
    Ok(())
}

fn release(accounts: &mut ReleaseAccounts, _: &Input) -> Result {
    let stake = &mut accounts.stake;
    stake.reports = stake.reports.checked_sub(1).ok_or(errors::NOT_FROZEN)?;
    Ok(())
}

fn slash(accounts: &mut SlashAccounts, arguments: &SlashArguments, _: &Input) -> Result {
    let (pool, stake) = (&mut accounts.pool, &mut accounts.stake);
    require!(arguments.bps as u64 <= HIGHEST_SLASH_BPS, errors::SLASH_TOO_HIGH);
    stake.reports = stake.reports.checked_sub(1).ok_or(errors::NOT_FROZEN)?;
    let amount = share(stake.amount, arguments.bps as u64)?;
    stake.amount = sub(stake.amount, amount)?;
    pool.amount = sub(pool.amount, amount)?;
    reweigh(pool, stake, &accounts.rewards_pool, clock::now()?)?;
    Slashed { stake: *stake.key(), amount, left: stake.amount }.emit();
    let bump = [pool.bump];
    let seeds = [Seed::new(b"pool"), Seed::new(&bump)];
    token::transfer(&accounts.vault, &accounts.slashed, pool.account(), amount, &seeds)
}

/// Without this, who stakes just before a distribution would take part in what came in before.
#[inline(always)]
fn require_distributed(pool: &Pool, rewards: &Record<rewards::Pool>, vault: &TokenAccount) -> Result {
    if pool.weight == 0 {
        return Ok(());
    }
    let waiting = sub(vault.amount(), rewards.held)?;
    require!(U128::product(waiting, SCALE).divide(pool.weight)? == U128::ZERO, errors::UNDISTRIBUTED);
    Ok(())
}

/// Settle what the stake earned by its weight so far, then give it the weight of its amount and state.
#[inline(never)]
fn reweigh(pool: &mut Pool, stake: &mut RecordMut<Stake>, rewards: &Record<rewards::Pool>, now: Clock) -> Result {
    let grown = rewards.accumulator.minus(stake.snapshot)?;
    stake.earned = plus(stake.earned, grown.times(stake.weight)?.divide(SCALE)?.word()?)?;
    stake.snapshot = rewards.accumulator;
    let weight = match stake.state {
        StakeState::ACTIVE => mul_div(stake.amount, 365 + 3 * stake.days as u64, 365)?,
        _ => 0,
    };
    // Within one slot the weights before that slot stay the previous ones.
    if pool.weight_slot != now.slot {
        pool.previous_weight = pool.weight;
        pool.weight_slot = now.slot;
    }
    pool.weight = plus(sub(pool.weight, stake.weight)?, weight)?;
    if stake.weight_slot != now.slot {
        stake.previous_weight = stake.weight;
        stake.previous_slot = stake.weight_slot;
        stake.weight_slot = now.slot;
    }
    stake.weight = weight;
    Staked { stake: *stake.key(), owner: stake.owner, amount: stake.amount, weight, total_weight: pool.weight }.emit();
    Ok(())
}
