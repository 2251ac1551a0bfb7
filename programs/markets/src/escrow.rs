//! The escrow: what leaves it, to whom, and how it closes.
use interface::math::{add, later, share, sub};
use interface::{RecordMut, Result, Seed, TokenAccount, Wallet, token};

use crate::generated::*;

/// The last second in which the node may submit; after it the client's money is free.
#[inline(always)]
pub fn last_moment(job: &Job) -> Result<i64> {
    later(later(job.assigned_at, job.seconds)?, job.terms.grace_seconds as u64)
}

/// How a payment was split, in µHYPER.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    pub treasury: u64,
    pub incentive: u64,
    pub stakers: u64,
    pub royalty: u64,
    pub operator: u64,
}

/// A job with the market that keeps its money.
pub struct Escrow<'a, 'b> {
    pub market: &'b mut RecordMut<'a, Market>,
    pub job: &'b mut RecordMut<'a, Job>,
    pub vault: &'b TokenAccount<'a>,
}

impl<'a> Escrow<'a, '_> {
    /// Bring what was paid for the job up to `total`: split what is missing. The parts always sum to it, the operator's is
    /// the remainder; those of treasury, incentive pool and stakers wait in the vault for `sweep`.
    #[inline(always)]
    pub fn pay_up_to(&mut self, total: u64, operator_to: &TokenAccount, author_to: &TokenAccount) -> Result<Parts> {
        let amount = sub(total, self.job.paid)?;
        if amount == 0 {
            return Ok(Parts::default());
        }
        let split = self.job.split;
        let treasury = share(amount, split.treasury as u64)?;
        let incentive = share(amount, split.incentive as u64)?;
        let stakers = share(amount, split.stakers as u64)?;
        let royalty = share(amount, split.royalty as u64)?;
        let operator = sub(amount, treasury + incentive + stakers + royalty)?;
        let market = &mut *self.market;
        market.due_treasury = add(market.due_treasury, treasury)?;
        market.due_incentive = add(market.due_incentive, incentive)?;
        market.due_stakers = add(market.due_stakers, stakers)?;
        market.held = sub(market.held, amount)?;
        self.job.paid = total;
        if operator_to.key() == author_to.key() {
            self.send(operator_to, add(operator, royalty)?)?;
        } else {
            self.send(operator_to, operator)?;
            self.send(author_to, royalty)?;
        }
        Ok(Parts { treasury, incentive, stakers, royalty, operator })
    }

    /// Give the bond of a dispute that was lost to the operator, who waited for nothing.
    #[inline(always)]
    pub fn forfeit_bond(&mut self, operator_to: &TokenAccount) -> Result {
        let bond = self.job.bond;
        self.job.bond = 0;
        self.market.held = sub(self.market.held, bond)?;
        self.send(operator_to, bond)
    }

    /// Give what was not paid back to the client, with a bond that is still there, and close the job. `parts` are those of its
    /// last payment.
    #[inline(always)]
    pub fn close(self, outcome: Outcome, parts: Parts, client_to: &TokenAccount, client: &Wallet) -> Result {
        let refunded = add(sub(self.job.deposit, self.job.paid)?, self.job.bond)?;
        self.market.held = sub(self.market.held, refunded)?;
        let Parts { treasury, incentive, stakers, royalty, operator } = parts;
        let (job, paid) = (*self.job.key(), self.job.paid);
        JobClosed { job, paid, refunded, treasury, incentive, stakers, royalty, operator, outcome }.emit();
        self.send(client_to, refunded)?;
        self.job.close(client.account())
    }

    #[inline(never)]
    fn send(&self, to: &TokenAccount, amount: u64) -> Result {
        let market = &*self.market;
        let (id, bump) = (market.id.to_le_bytes(), [market.bump]);
        let seeds = [Seed::new(b"market"), Seed::new(market.authority.bytes()), Seed::new(&id), Seed::new(&bump)];
        token::transfer(self.vault, to, market.account(), amount, &seeds)
    }
}
