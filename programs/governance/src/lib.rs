//! Governance: what stakers decide, anyone carries out.
//!
//! A proposal names one call: program, data, and the hash of its accounts. What the call can do is bounded by the called
//! program, whose hard bounds no vote can cross; `calls` says which programs each kind of proposal may call.
#![no_std]

mod calls;
mod generated;

use generated::*;
use interface::math::{BPS, add, later};
use interface::{Input, RecordMut, Result, U128, clock, entrypoint, require};

entrypoint!(dispatch);

const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
const HYPER: u64 = 1_000_000;

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, input: &Input) -> Result {
    check(&arguments.parameters)?;
    require!(arguments.program_count as u64 <= MOST_PROGRAMS, errors::BAD_PARAMETERS);
    accounts.signer.program = *input.program;
    let config = &mut accounts.config;
    config.signer = *accounts.signer.key();
    config.staking = arguments.staking;
    config.staking_pool = arguments.staking_pool;
    config.markets = arguments.markets;
    config.programs = arguments.programs;
    config.program_count = arguments.program_count;
    config.parameters = arguments.parameters;
    config.signer_bump = accounts.signer_bump;
    Ok(())
}

fn set_parameters(accounts: &mut SetParametersAccounts, arguments: &SetParametersArguments, _: &Input) -> Result {
    check(&arguments.parameters)?;
    accounts.config.parameters = arguments.parameters;
    Ok(())
}

/// The bounds that no vote can change: a vote can always be held, won, and looked at before it takes effect.
fn check(parameters: &Parameters) -> Result {
    let valid = parameters.least_weight >= 1_000 * HYPER
        && parameters.least_weight <= 10_000_000 * HYPER
        && parameters.voting_seconds >= DAY
        && parameters.voting_seconds <= 14 * DAY
        && parameters.timelock_seconds >= HOUR
        && parameters.timelock_seconds <= 7 * DAY
        && parameters.expiry_seconds >= parameters.timelock_seconds + DAY
        && parameters.expiry_seconds <= 30 * DAY
        && parameters.quorum_bps >= 100
        && parameters.quorum_bps <= 5_000
        && parameters.padding == [0; 2];
    require!(valid, errors::BAD_PARAMETERS);
    Ok(())
}

fn propose(accounts: &mut ProposeAccounts, arguments: &ProposeArguments, input: &Input) -> Result {
    let (config, stake) = (&accounts.config, &accounts.stake);
    require!(stake.owner == *accounts.proposer.key(), errors::NOT_OWNERS_STAKE);
    require!(stake.weight >= config.parameters.least_weight, errors::WEIGHT_TOO_LOW);
    calls::check(config, input.program, arguments)?;
    let proposal = &mut accounts.proposal;
    proposal.proposer = *accounts.proposer.key();
    proposal.program = arguments.program;
    proposal.accounts = arguments.accounts_hash;
    proposal.id = arguments.id;
    proposal.created_at = clock::now()?.time;
    copy(&mut proposal.payload, arguments.payload);
    copy(&mut proposal.title, arguments.title);
    proposal.payload_length = arguments.payload.len() as u16;
    proposal.title_length = arguments.title.len() as u8;
    proposal.kind = arguments.kind;
    proposal.state = ProposalState::DRAFT;
    proposal.bump = accounts.proposal_bump;
    Proposed { proposal: *proposal.key(), proposer: proposal.proposer, kind: proposal.kind }.emit();
    Ok(())
}

/// Both are as long as the arguments' decoding allows.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

fn activate(accounts: &mut ActivateAccounts, _: &Input) -> Result {
    let proposal = &mut accounts.proposal;
    require!(proposal.state == ProposalState::DRAFT, errors::WRONG_STATE);
    let now = clock::now()?;
    let pool = &accounts.staking_pool;
    // As of the same moment as the weights of stakes, so that nobody shrinks the quorum in the same slot.
    let total_weight = if pool.weight_slot < now.slot { pool.weight } else { pool.previous_weight };
    require!(total_weight > 0, errors::NOBODY_STAKES);
    // Those of now: a draft kept from before a quorum was raised must not be voted by the old one.
    proposal.parameters = accounts.config.parameters;
    proposal.activated_at = now.time;
    proposal.activated_slot = now.slot;
    proposal.total_weight = total_weight;
    enter(proposal, ProposalState::ACTIVE)
}

fn cancel(accounts: &mut CancelAccounts, _: &Input) -> Result {
    let proposal = &mut accounts.proposal;
    match proposal.state {
        ProposalState::DRAFT => {}
        // A vote that has ended is the voters' to carry out, not the proposer's to take back.
        ProposalState::ACTIVE => require!(clock::now()?.time < end_of_vote(proposal)?, errors::TOO_LATE),
        _ => return Err(errors::WRONG_STATE),
    }
    enter(proposal, ProposalState::CANCELLED)
}

fn vote(accounts: &mut VoteAccounts, arguments: &VoteArguments, _: &Input) -> Result {
    let (proposal, stake) = (&mut accounts.proposal, &accounts.stake);
    require!(proposal.state == ProposalState::ACTIVE, errors::WRONG_STATE);
    require!(clock::now()?.time < end_of_vote(proposal)?, errors::TOO_LATE);
    let weight = weight_before(stake, proposal.activated_slot);
    require!(weight > 0, errors::NO_WEIGHT);
    match arguments.choice {
        Choice::FOR => proposal.votes_for = add(proposal.votes_for, weight)?,
        Choice::AGAINST => proposal.votes_against = add(proposal.votes_against, weight)?,
        _ => proposal.votes_abstain = add(proposal.votes_abstain, weight)?,
    }
    let vote = &mut accounts.vote;
    vote.proposal = *proposal.key();
    vote.stake = *stake.key();
    vote.voter = stake.owner;
    vote.weight = weight;
    vote.choice = arguments.choice;
    Voted { proposal: vote.proposal, stake: vote.stake, weight, choice: vote.choice }.emit();
    Ok(())
}

/// The weight a stake had before `slot`, or 0 when it changed twice since and is not known any more.
#[inline(always)]
fn weight_before(stake: &staking::Stake, slot: u64) -> u64 {
    if stake.weight_slot < slot {
        stake.weight
    } else if stake.previous_slot < slot {
        stake.previous_weight
    } else {
        0
    }
}

fn finalize(accounts: &mut FinalizeAccounts, _: &Input) -> Result {
    let proposal = &mut accounts.proposal;
    require!(proposal.state == ProposalState::ACTIVE, errors::WRONG_STATE);
    let time = clock::now()?.time;
    require!(time >= end_of_vote(proposal)?, errors::TOO_EARLY);
    let votes = add(add(proposal.votes_for, proposal.votes_against)?, proposal.votes_abstain)?;
    let quorum = U128::product(proposal.total_weight, proposal.parameters.quorum_bps as u64);
    let reached = U128::product(votes, BPS).minus(quorum).is_ok();
    if !reached || proposal.votes_for <= proposal.votes_against {
        return enter(proposal, ProposalState::DEFEATED);
    }
    proposal.queued_at = time;
    enter(proposal, ProposalState::QUEUED)
}

fn execute(accounts: &mut ExecuteAccounts, input: &Input) -> Result {
    let proposal = &mut accounts.proposal;
    require!(proposal.state == ProposalState::QUEUED, errors::WRONG_STATE);
    let time = clock::now()?.time;
    let unlocked = later(proposal.queued_at, proposal.parameters.timelock_seconds as u64)?;
    require!(time >= unlocked, errors::TOO_EARLY);
    require!(time < end_of_queue(proposal)?, errors::TOO_LATE);
    // Before the call, so that it cannot come back here and find the proposal still queued.
    enter(proposal, ProposalState::EXECUTED)?;
    calls::call(&accounts.config, proposal, input.rest(ExecuteAccounts::COUNT))
}

fn expire(accounts: &mut ExpireAccounts, _: &Input) -> Result {
    let proposal = &mut accounts.proposal;
    require!(proposal.state == ProposalState::QUEUED, errors::WRONG_STATE);
    require!(clock::now()?.time >= end_of_queue(proposal)?, errors::TOO_EARLY);
    enter(proposal, ProposalState::EXPIRED)
}

fn close_vote(accounts: &mut CloseVoteAccounts, _: &Input) -> Result {
    let ended = !matches!(accounts.proposal.state, ProposalState::DRAFT | ProposalState::ACTIVE);
    require!(ended, errors::WRONG_STATE);
    accounts.vote.close(accounts.voter.account())
}

#[inline(always)]
fn end_of_vote(proposal: &Proposal) -> Result<i64> {
    later(proposal.activated_at, proposal.parameters.voting_seconds as u64)
}

#[inline(always)]
fn end_of_queue(proposal: &Proposal) -> Result<i64> {
    later(proposal.queued_at, proposal.parameters.expiry_seconds as u64)
}

#[inline(always)]
fn enter(proposal: &mut RecordMut<Proposal>, state: ProposalState) -> Result {
    proposal.state = state;
    StateChanged { proposal: *proposal.key(), state }.emit();
    Ok(())
}
