//! Which node may take a job, and how many at once.
use interface::math::{add, sub};
use interface::{Account, Error, Record, Result, require};

use crate::generated::*;

/// µHYPER of stake, and the jobs that may run at once on its strength.
const ROOM: [(u64, u64); 4] =
    [(100_000_000_000, u64::MAX), (10_000_000_000, 10), (1_000_000_000, 3), (100_000_000, 1)];

/// Refuse a node that the terms exclude. All it says comes from records that other programs wrote.
#[inline(always)]
pub fn require_eligible(terms: &Terms, node: &nodes::Node, stake: &staking::Stake, time: i64) -> Result {
    require!(node.state == nodes::NodeState::ACTIVE, errors::NODE_RETIRED);
    require!(time.saturating_sub(node.seen_at) <= terms.fresh_seconds as i64, errors::NODE_SILENT);
    require!(node.score >= terms.least_score, errors::SCORE_TOO_LOW);
    require!(stake.owner == node.owner, errors::NOT_OWNERS_STAKE);
    // A stake under report still carries jobs: it cannot leave, and else a report would be a cheap way to idle a rival.
    require!(stake.state == staking::StakeState::ACTIVE, errors::STAKE_NOT_ACTIVE);
    require!(stake.weight >= terms.least_weight, errors::WEIGHT_TOO_LOW);
    Ok(())
}

/// Count one job more, if the stake carries it.
#[inline(always)]
pub fn occupy(stake: &Record<staking::Stake>, capacity: &mut Capacity) -> Result {
    let mut room = 0;
    for (amount, jobs) in ROOM {
        if stake.amount >= amount {
            room = jobs;
            break;
        }
    }
    require!(capacity.running < room, errors::NO_ROOM);
    capacity.running = add(capacity.running, 1)?;
    Ok(())
}

/// Count the job no more; the capacity must be of the stake it was taken with.
#[inline(always)]
pub fn leave(job: &Job, capacity: &mut Capacity) -> Result {
    require!(capacity.stake == job.stake, Error::WRONG_ADDRESS);
    capacity.running = sub(capacity.running, 1)?;
    Ok(())
}

/// Refuse unless enough different verifiers signed.
#[inline(always)]
pub fn require_verifiers(config: &nodes::Config, accounts: &[Account]) -> Result {
    let count = config.count as usize;
    require!(count <= config.verifiers.len(), errors::NOT_ENOUGH_VERIFIERS);
    let mut signed = 0u64;
    for account in accounts {
        require!(account.is_signer(), Error::NOT_SIGNER);
        let place = config.verifiers[..count].iter().position(|verifier| verifier == account.key());
        signed |= 1 << place.ok_or(errors::NOT_ENOUGH_VERIFIERS)?;
    }
    let mut distinct = 0;
    while signed > 0 {
        distinct += signed & 1;
        signed >>= 1;
    }
    require!(distinct >= config.threshold as u64, errors::NOT_ENOUGH_VERIFIERS);
    Ok(())
}
