//! Markets: the way of a job from escrow to settlement.
//!
//! `escrow` opens, cancels, pays and closes jobs; `queue` has the pages; `eligibility` says which node may take a job;
//! `voucher` what a client signs. This file has one function for each instruction.
#![no_std]

mod eligibility;
mod escrow;
mod generated;
mod queue;
mod terms;
mod voucher;

use generated::*;
use interface::math::{add, later, share, sub};
use interface::{Input, Key, Result, Seed, clock, entrypoint, require, token};

entrypoint!(dispatch);

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, _: &Input) -> Result {
    terms::check_split(&arguments.split)?;
    let config = &mut accounts.config;
    config.authority = arguments.authority;
    config.mint = *accounts.mint.key();
    config.nodes = arguments.nodes;
    config.nodes_config = arguments.nodes_config;
    config.staking = arguments.staking;
    config.treasury = *accounts.treasury.key();
    config.incentive = *accounts.incentive.key();
    config.stakers = *accounts.stakers.key();
    config.split = arguments.split;
    Ok(())
}

fn set_parameters(accounts: &mut SetParametersAccounts, arguments: &SetParametersArguments, _: &Input) -> Result {
    terms::check_split(&arguments.split)?;
    let config = &mut accounts.config;
    config.treasury = *accounts.treasury.key();
    config.incentive = *accounts.incentive.key();
    config.stakers = *accounts.stakers.key();
    config.split = arguments.split;
    Ok(())
}

fn create_market(accounts: &mut CreateMarketAccounts, arguments: &CreateMarketArguments, _: &Input) -> Result {
    terms::check(&arguments.terms)?;
    let market = &mut accounts.market;
    market.authority = *accounts.authority.key();
    market.mint = *accounts.mint.key();
    market.vault = *accounts.vault.key();
    market.id = arguments.id;
    market.terms = arguments.terms;
    market.bump = accounts.market_bump;
    Ok(())
}

fn set_market(accounts: &mut SetMarketAccounts, arguments: &SetMarketArguments, _: &Input) -> Result {
    terms::check(&arguments.terms)?;
    accounts.market.terms = arguments.terms;
    Ok(())
}

fn open_page(accounts: &mut OpenPageAccounts, arguments: &OpenPageArguments, _: &Input) -> Result {
    let tail = accounts.market.tail / PAGE_PLACES;
    let index = arguments.index;
    require!(index == tail || index == add(tail, 1)?, errors::WRONG_PAGE);
    let page = &mut accounts.page;
    page.market = *accounts.market.key();
    page.payer = *accounts.payer.key();
    page.index = index;
    Ok(())
}

fn retire_page(accounts: &mut RetirePageAccounts, _: &Input) -> Result {
    let (market, page) = (&accounts.market, &mut accounts.page);
    // Places only go up, so a page that is full and empty again is never needed again.
    require!(page.live == 0 && market.tail / PAGE_PLACES > page.index, errors::PAGE_IN_USE);
    page.close(accounts.payer.account())
}

fn open(accounts: &mut OpenAccounts, arguments: &OpenArguments, _: &Input) -> Result {
    let market = &mut accounts.market;
    let terms = market.terms;
    // Else the market's authority could change the price between the client's signature and the deposit.
    require!(arguments.terms == terms, errors::TERMS_CHANGED);
    let allowed = arguments.seconds > 0 && arguments.seconds <= terms.longest_seconds as u64;
    require!(allowed, errors::BAD_LENGTH);
    let deposit = terms::price(&terms, arguments.seconds)?;
    require!(deposit > 0, errors::NOTHING_TO_PAY);
    let serial = market.serial;
    market.serial = add(serial, 1)?;
    market.held = add(market.held, deposit)?;
    let place = queue::append(market, &mut accounts.page, accounts.job.key())?;

    let job = &mut accounts.job;
    job.client = *accounts.client.key();
    job.market = *market.key();
    job.author = arguments.author;
    job.document = arguments.document;
    job.id = arguments.id;
    job.serial = serial;
    job.place = place;
    job.deposit = deposit;
    job.seconds = arguments.seconds;
    job.opened_at = clock::now()?.time;
    job.terms = terms;
    job.split = accounts.config.split;
    job.state = JobState::QUEUED;
    job.bump = accounts.job_bump;
    JobOpened {
        job: *job.key(),
        market: job.market,
        client: job.client,
        document: job.document,
        serial,
        place,
        deposit,
    }
    .emit();
    token::transfer(&accounts.source, &accounts.vault, accounts.client.account(), deposit, &[])
}

fn cancel(accounts: &mut CancelAccounts, _: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    require!(job.state == JobState::QUEUED, errors::WRONG_STATE);
    let end = later(job.opened_at, job.terms.queue_seconds as u64)?;
    let allowed = *accounts.caller.key() == job.client || clock::now()?.time >= end;
    require!(allowed, errors::TOO_EARLY);
    queue::remove(market.key(), job.place, &mut accounts.page, job.key())?;
    let escrow = escrow::Escrow { market, job, vault: &accounts.vault };
    escrow.close(Outcome::CANCELLED, escrow::Parts::default(), &accounts.client_token, &accounts.client)
}

fn open_capacity(accounts: &mut OpenCapacityAccounts, _: &Input) -> Result {
    accounts.capacity.stake = *accounts.stake.key();
    Ok(())
}

fn take(accounts: &mut TakeAccounts, _: &Input) -> Result {
    let (market, job, node) = (&accounts.market, &mut accounts.job, &accounts.node);
    require!(job.state == JobState::QUEUED, errors::WRONG_STATE);
    let time = clock::now()?.time;
    require!(time < later(job.opened_at, job.terms.queue_seconds as u64)?, errors::TOO_LATE);
    eligibility::require_eligible(&job.terms, node, &accounts.stake, time)?;
    eligibility::occupy(&accounts.stake, &mut accounts.capacity)?;
    queue::remove(market.key(), job.place, &mut accounts.page, job.key())?;
    job.node = node.key;
    job.operator = node.owner;
    job.stake = *accounts.stake.key();
    if job.author == Key::ZERO {
        job.author = node.owner;
    }
    job.assigned_at = time;
    job.state = JobState::ASSIGNED;
    JobTaken { job: *job.key(), node: job.node, stake: job.stake }.emit();
    Ok(())
}

fn give_back(accounts: &mut GiveBackAccounts, _: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    require!(job.state == JobState::ASSIGNED, errors::WRONG_STATE);
    require!(job.paid == 0, errors::PARTLY_PAID);
    eligibility::leave(job, &mut accounts.capacity)?;
    // Queued again and not closed, else a node could empty the queue by taking every job and giving it back.
    let place = queue::append(market, &mut accounts.page, job.key())?;
    let node = job.node;
    if job.author == job.operator {
        job.author = Key::ZERO;
    }
    job.node = Key::ZERO;
    job.operator = Key::ZERO;
    job.stake = Key::ZERO;
    job.place = place;
    job.assigned_at = 0;
    job.state = JobState::QUEUED;
    JobGivenBack { job: *job.key(), node, place }.emit();
    Ok(())
}

fn submit(accounts: &mut SubmitAccounts, arguments: &SubmitArguments, _: &Input) -> Result {
    let job = &mut accounts.job;
    require!(job.state == JobState::ASSIGNED, errors::WRONG_STATE);
    let time = clock::now()?.time;
    require!(time <= escrow::last_moment(job)?, errors::TOO_LATE);
    let passed = time.saturating_sub(job.assigned_at);
    let possible = arguments.seconds <= job.seconds && arguments.seconds as i64 <= passed;
    require!(possible, errors::TOO_MANY_SECONDS);
    let price = terms::price(&job.terms, arguments.seconds)?;
    job.price = if price > job.paid { price } else { job.paid };
    job.receipt = arguments.receipt;
    job.submitted_at = time;
    job.state = JobState::SUBMITTED;
    JobSubmitted { job: *job.key(), receipt: job.receipt, seconds: arguments.seconds, price: job.price }.emit();
    Ok(())
}

fn redeem(accounts: &mut RedeemAccounts, arguments: &RedeemArguments, input: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    require!(job.state != JobState::QUEUED, errors::WRONG_STATE);
    require!(arguments.cumulative > job.paid, errors::VOUCHER_TOO_LOW);
    require!(arguments.cumulative <= job.deposit, errors::VOUCHER_TOO_HIGH);
    voucher::require_signed(&accounts.instructions, input.program, job, arguments.cumulative)?;
    if job.state != JobState::ASSIGNED && job.price < arguments.cumulative {
        job.price = arguments.cumulative;
    }
    let mut escrow = escrow::Escrow { market, job, vault: &accounts.vault };
    let amount = sub(arguments.cumulative, escrow.job.paid)?;
    let parts = escrow.pay_up_to(arguments.cumulative, &accounts.operator_token, &accounts.author_token)?;
    let escrow::Parts { treasury, incentive, stakers, royalty, operator } = parts;
    VoucherPaid { job: *escrow.job.key(), amount, treasury, incentive, stakers, royalty, operator }.emit();
    Ok(())
}

fn settle(accounts: &mut SettleAccounts, _: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    let time = clock::now()?.time;
    let allowed = match job.state {
        JobState::SUBMITTED => {
            let end = later(job.submitted_at, job.terms.dispute_seconds as u64)?;
            *accounts.caller.key() == job.client || time > end
        }
        // The client may not end its own dispute early: verifiers may be about to decide it.
        JobState::DISPUTED => time > later(job.disputed_at, ARBITRATION_SECONDS)?,
        _ => return Err(errors::WRONG_STATE),
    };
    require!(allowed, errors::TOO_EARLY);
    eligibility::leave(job, &mut accounts.capacity)?;
    let price = job.price;
    let mut escrow = escrow::Escrow { market, job, vault: &accounts.vault };
    let parts = escrow.pay_up_to(price, &accounts.operator_token, &accounts.author_token)?;
    escrow.close(Outcome::SETTLED, parts, &accounts.client_token, &accounts.client)
}

fn refund(accounts: &mut RefundAccounts, _: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    require!(job.state == JobState::ASSIGNED, errors::WRONG_STATE);
    require!(clock::now()?.time > escrow::last_moment(job)?, errors::TOO_EARLY);
    eligibility::leave(job, &mut accounts.capacity)?;
    let escrow = escrow::Escrow { market, job, vault: &accounts.vault };
    escrow.close(Outcome::REFUNDED, escrow::Parts::default(), &accounts.client_token, &accounts.client)
}

fn dispute(accounts: &mut DisputeAccounts, arguments: &DisputeArguments, _: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    require!(job.state == JobState::SUBMITTED, errors::WRONG_STATE);
    let time = clock::now()?.time;
    require!(time <= later(job.submitted_at, job.terms.dispute_seconds as u64)?, errors::TOO_LATE);
    let bond = share(job.price, BOND_BPS)?;
    job.bond = bond;
    job.disputed_at = time;
    job.state = JobState::DISPUTED;
    market.held = add(market.held, bond)?;
    JobDisputed { job: *job.key(), reason: arguments.reason, bond }.emit();
    token::transfer(&accounts.source, &accounts.vault, accounts.client.account(), bond, &[])
}

fn resolve(accounts: &mut ResolveAccounts, arguments: &ResolveArguments, input: &Input) -> Result {
    let (market, job) = (&mut accounts.market, &mut accounts.job);
    require!(job.state == JobState::DISPUTED, errors::WRONG_STATE);
    eligibility::require_verifiers(&accounts.verifiers, input.rest(ResolveAccounts::COUNT))?;
    eligibility::leave(job, &mut accounts.capacity)?;
    let mut escrow = escrow::Escrow { market, job, vault: &accounts.vault };
    if !arguments.for_node {
        let parts = escrow::Parts::default();
        return escrow.close(Outcome::RESOLVED_FOR_CLIENT, parts, &accounts.client_token, &accounts.client);
    }
    let price = escrow.job.price;
    let parts = escrow.pay_up_to(price, &accounts.operator_token, &accounts.author_token)?;
    escrow.forfeit_bond(&accounts.operator_token)?;
    escrow.close(Outcome::RESOLVED_FOR_NODE, parts, &accounts.client_token, &accounts.client)
}

fn sweep(accounts: &mut SweepAccounts, _: &Input) -> Result {
    let market = &mut accounts.market;
    let (treasury, incentive, stakers) = (market.due_treasury, market.due_incentive, market.due_stakers);
    require!(treasury | incentive | stakers > 0, errors::NOTHING_TO_SWEEP);
    market.due_treasury = 0;
    market.due_incentive = 0;
    market.due_stakers = 0;
    let (id, bump) = (market.id.to_le_bytes(), [market.bump]);
    let seeds = [Seed::new(b"market"), Seed::new(market.authority.bytes()), Seed::new(&id), Seed::new(&bump)];
    let authority = market.account();
    token::transfer(&accounts.vault, &accounts.treasury, authority, treasury, &seeds)?;
    token::transfer(&accounts.vault, &accounts.incentive, authority, incentive, &seeds)?;
    token::transfer(&accounts.vault, &accounts.stakers, authority, stakers, &seeds)?;
    sub(accounts.vault.amount(), market.held).map_err(|_| errors::INSOLVENT)?;
    Ok(())
}
