//! Prices, and the bounds of what markets and governance may set.
use interface::math::{BPS, add, mul};
use interface::{Result, require};

use crate::generated::*;

/// Refuse a split that leaves the operator less than it is promised.
pub fn check_split(split: &Split) -> Result {
    let others = split.treasury as u64 + split.incentive as u64 + split.stakers as u64 + split.royalty as u64;
    require!(others <= BPS - LEAST_OPERATOR_BPS, errors::BAD_SPLIT);
    Ok(())
}

/// Refuse terms with which a job could hang for long, or overflow.
pub fn check(terms: &Terms) -> Result {
    let within = |seconds: u32, least: u64, most: u64| seconds as u64 >= least && seconds as u64 <= most;
    let valid = terms.rate <= 1_000_000_000_000
        && terms.fixed <= 1_000_000_000_000
        && terms.rate | terms.fixed > 0
        && within(terms.longest_seconds, 1, 30 * DAY_SECONDS)
        && within(terms.queue_seconds, 60, 30 * DAY_SECONDS)
        && within(terms.grace_seconds, 60, DAY_SECONDS)
        && within(terms.dispute_seconds, 600, 14 * DAY_SECONDS)
        && within(terms.fresh_seconds, 30, DAY_SECONDS)
        && terms.least_score <= 1_000
        && terms.padding == [0; 2];
    require!(valid, errors::BAD_TERMS);
    Ok(())
}

/// What so many seconds cost, in µHYPER.
#[inline(always)]
pub fn price(terms: &Terms, seconds: u64) -> Result<u64> {
    add(mul(terms.rate, seconds)?, terms.fixed)
}
