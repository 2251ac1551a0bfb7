//! Reports: made with a bond, judged by a panel that chance draws, appealed to another, executed by anyone.
//!
//! `panel` draws and counts; `stakes` calls staking. This file has one function for each instruction.
#![no_std]

mod generated;
mod panel;
mod stakes;

use generated::*;
use interface::math::{add, later, share, sub};
use interface::{Input, RecordMut, Result, Seed, TokenAccount, clock, digest, entrypoint, require, slots, token};

entrypoint!(dispatch);

const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
const HYPER: u64 = 1_000_000;
/// Slots whose hashes the runtime remembers.
const REMEMBERED_SLOTS: u64 = 512;

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, input: &Input) -> Result {
    check(&arguments.parameters)?;
    accounts.signer.program = *input.program;
    let config = &mut accounts.config;
    config.authority = arguments.authority;
    config.signer = *accounts.signer.key();
    config.mint = *accounts.mint.key();
    config.vault = *accounts.vault.key();
    config.staking = arguments.staking;
    config.staking_pool = arguments.staking_pool;
    config.nodes = arguments.nodes;
    config.collection = *accounts.collection.key();
    config.treasury = *accounts.treasury.key();
    config.parameters = arguments.parameters;
    config.signer_bump = accounts.signer_bump;
    Ok(())
}

fn set_parameters(accounts: &mut SetParametersAccounts, arguments: &SetParametersArguments, _: &Input) -> Result {
    check(&arguments.parameters)?;
    accounts.config.parameters = arguments.parameters;
    accounts.config.collection = *accounts.collection.key();
    accounts.config.treasury = *accounts.treasury.key();
    Ok(())
}

/// The bounds that no vote can change: every phase ends, none is too short to be used, and no kind takes more than half.
fn check(parameters: &Parameters) -> Result {
    let phase = |seconds: u32| seconds >= HOUR && seconds <= 7 * DAY;
    let valid = parameters.bond >= HYPER
        && parameters.bond <= 100_000 * HYPER
        && parameters.validator_amount >= 100 * HYPER
        && parameters.validator_amount <= 1_000_000 * HYPER
        && phase(parameters.draw_seconds)
        && phase(parameters.commit_seconds)
        && phase(parameters.reveal_seconds)
        && parameters.appeal_seconds >= DAY
        && parameters.appeal_seconds <= 30 * DAY
        && parameters.bps.iter().all(|bps| *bps > 0 && *bps as u64 <= HIGHEST_SLASH_BPS)
        && parameters.padding == [0; 6];
    require!(valid, errors::BAD_PARAMETERS);
    Ok(())
}

fn report(accounts: &mut ReportAccounts, arguments: &ReportArguments, _: &Input) -> Result {
    let (config, case) = (&accounts.config, &mut accounts.case);
    let now = clock::now()?;
    case.reporter = *accounts.reporter.key();
    case.stake = *accounts.stake.key();
    case.accused = accounts.stake.owner;
    case.evidence = arguments.evidence;
    case.id = arguments.id;
    case.bond = config.parameters.bond;
    case.reported_slot = now.slot;
    case.seed_slot = add(now.slot, SEED_DELAY_SLOTS)?;
    case.reported_at = now.time;
    case.parameters = config.parameters;
    case.bps = config.parameters.bps[arguments.kind.0 as usize];
    case.kind = arguments.kind;
    case.state = CaseState::WAITING;
    case.round = 1;
    case.bump = accounts.case_bump;
    Reported { case: *case.key(), stake: case.stake, evidence: case.evidence, kind: case.kind }.emit();
    token::transfer(&accounts.source, &accounts.vault, accounts.reporter.account(), case.bond, &[])?;
    stakes::freeze(config, accounts.signer.account(), accounts.staking_pool.account(), accounts.stake.account())
}

fn draw(accounts: &mut DrawAccounts, _: &Input) -> Result {
    let case = &mut accounts.case;
    require!(case.state == CaseState::WAITING, errors::WRONG_STATE);
    let now = clock::now()?;
    // Never another slot: else whoever alone is awake could let hashes pass until it likes one.
    require!(!forgotten(case, now.slot)?, errors::TOO_LATE);
    let hash = slots::hash_from(case.seed_slot)?.ok_or(errors::TOO_EARLY)?;
    case.seed = *digest::sha256(&[case.key().bytes(), hash.bytes(), &[case.round]]).bytes();
    case.drawn_at = now.time;
    case.state = CaseState::VOTING;
    Ok(())
}

/// Whether nobody drew while the hash of the round's slot was known.
#[inline(always)]
fn forgotten(case: &Case, slot: u64) -> Result<bool> {
    Ok(slot > add(case.seed_slot, REMEMBERED_SLOTS)?)
}

fn nominate(accounts: &mut NominateAccounts, _: &Input) -> Result {
    let case = &mut accounts.case;
    panel::require_phase(case, panel::Phase::Draw)?;
    panel::require_validator(case, &accounts.stake, &accounts.node)?;
    let digest = digest::sha256(&[&case.seed, accounts.stake.key().bytes()]);
    panel::seat(case, accounts.node.owner, accounts.node.key, digest.0[0])
}

fn commit(accounts: &mut CommitAccounts, arguments: &CommitArguments, _: &Input) -> Result {
    let case = &mut accounts.case;
    panel::require_phase(case, panel::Phase::Commit)?;
    let seat = panel::seat_of(case, accounts.key.key())?;
    require!(seat.commitment == [0; 32], errors::ALREADY_COMMITTED);
    seat.commitment = arguments.commitment;
    Ok(())
}

fn reveal(accounts: &mut RevealAccounts, arguments: &RevealArguments, _: &Input) -> Result {
    let case = &mut accounts.case;
    panel::require_phase(case, panel::Phase::Reveal)?;
    let (round, key) = ([case.round], *case.key());
    let member = accounts.key.key();
    let parts: [&[u8]; 5] = [&[arguments.for_report as u8], &arguments.salt, key.bytes(), &round, member.bytes()];
    let digest = digest::sha256(&parts);
    let seat = panel::seat_of(case, member)?;
    let valid = seat.ballot == Ballot::NONE && seat.commitment == *digest.bytes();
    require!(valid, errors::WRONG_REVEAL);
    seat.ballot = if arguments.for_report { Ballot::FOR } else { Ballot::AGAINST };
    Ok(())
}

fn close_round(accounts: &mut CloseRoundAccounts, _: &Input) -> Result {
    let (config, case) = (&accounts.config, &mut accounts.case);
    if case.state == CaseState::WAITING {
        // A round without a panel is one in which nobody voted.
        require!(forgotten(case, clock::now()?.slot)?, errors::TOO_EARLY);
    } else {
        panel::require_phase(case, panel::Phase::Over)?;
    }
    let (votes_for, votes_against) = panel::count(case);
    let carried = votes_for > votes_against;
    case.state = if case.round == 1 {
        if votes_for >= LEAST_VOTES && carried { CaseState::CONFIRMED } else { CaseState::DISMISSED }
    } else if votes_for + votes_against < LEAST_VOTES || carried {
        CaseState::UPHELD
    } else {
        CaseState::OVERTURNED
    };
    RoundClosed { case: *case.key(), votes_for, votes_against, state: case.state }.emit();
    match case.state {
        CaseState::CONFIRMED => {
            case.confirmed_at = clock::now()?.time;
            panel::keep_first(case);
            Ok(())
        }
        CaseState::UPHELD => Ok(()),
        _ => {
            let bond = case.bond;
            case.bond = 0;
            let signer = accounts.signer.account();
            let till = Till { bump: config.signer_bump, signer, vault: &accounts.vault };
            till.pay(&accounts.treasury, bond)?;
            let pool = accounts.staking_pool.account();
            stakes::release(config, signer, pool, accounts.stake.account())
        }
    }
}

fn appeal(accounts: &mut AppealAccounts, _: &Input) -> Result {
    let case = &mut accounts.case;
    require!(case.state == CaseState::CONFIRMED, errors::WRONG_STATE);
    let now = clock::now()?;
    let end = later(case.confirmed_at, case.parameters.appeal_seconds as u64)?;
    require!(now.time <= end, errors::TOO_LATE);
    case.state = CaseState::WAITING;
    case.round = 2;
    case.seats = 0;
    case.seed_slot = add(now.slot, SEED_DELAY_SLOTS)?;
    Ok(())
}

fn execute(accounts: &mut ExecuteAccounts, _: &Input) -> Result {
    let (config, case) = (&accounts.config, &mut accounts.case);
    match case.state {
        CaseState::UPHELD => {}
        CaseState::CONFIRMED => {
            let end = later(case.confirmed_at, case.parameters.appeal_seconds as u64)?;
            require!(clock::now()?.time > end, errors::TOO_EARLY);
        }
        _ => return Err(errors::WRONG_STATE),
    }
    case.state = CaseState::EXECUTED;
    let before = accounts.vault.amount();
    let signer = accounts.signer.account();
    let parts = [
        signer,
        accounts.staking_pool.account(),
        accounts.stake.account(),
        accounts.staking_vault.account(),
        accounts.vault.account(),
        accounts.rewards_pool.account(),
        accounts.token.account(),
    ];
    stakes::slash(config, &parts, case.bps)?;
    let proceeds = sub(accounts.vault.amount(), before)?;
    let reward = share(proceeds, REWARD_BPS)?;
    let burned = share(proceeds, BURN_BPS)?;
    let treasury = sub(sub(proceeds, reward)?, burned)?;
    let bond = case.bond;
    case.bond = 0;
    let till = Till { bump: config.signer_bump, signer, vault: &accounts.vault };
    till.pay(&accounts.reporter_token, add(reward, bond)?)?;
    till.pay(&accounts.collection, burned)?;
    till.pay(&accounts.treasury, treasury)?;
    Executed { case: *case.key(), stake: case.stake, proceeds, burned, reward, treasury }.emit();
    Ok(())
}

fn close_case(accounts: &mut CloseCaseAccounts, _: &Input) -> Result {
    let case: &mut RecordMut<Case> = &mut accounts.case;
    let ended = matches!(case.state, CaseState::DISMISSED | CaseState::OVERTURNED | CaseState::EXECUTED);
    require!(ended, errors::STILL_OPEN);
    case.close(accounts.reporter.account())
}

/// The vault with the address that holds it.
struct Till<'a, 'b> {
    bump: u8,
    signer: interface::Account<'a>,
    vault: &'b TokenAccount<'a>,
}

impl Till<'_, '_> {
    #[inline(never)]
    fn pay(&self, to: &TokenAccount, amount: u64) -> Result {
        let bump = [self.bump];
        token::transfer(self.vault, to, self.signer, amount, &[Seed::new(b"authority"), Seed::new(&bump)])
    }
}
