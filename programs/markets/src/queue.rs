//! The queue: pages of 64 places, given out in order; a place is emptied when its job leaves.
//!
//! There is no cap, so nobody can fill it. Nodes take the oldest job they want, from any page: a job that nobody wants
//! holds up no other, and leaves when its time in the queue is over and anyone may remove it.
use interface::math::{add, sub};
use interface::{Key, RecordMut, Result, require};

use crate::generated::*;

/// Refuse a page of another market or another place.
#[inline(always)]
fn require_page(market: &Key, index: u64, page: &Page) -> Result {
    require!(page.market == *market && page.index == index, errors::WRONG_PAGE);
    Ok(())
}

/// Give the job the next place. Returns its number.
#[inline(always)]
pub fn append(market: &mut RecordMut<Market>, page: &mut Page, job: &Key) -> Result<u64> {
    let place = market.tail;
    require_page(market.key(), place / PAGE_PLACES, page)?;
    page.places[(place % PAGE_PLACES) as usize] = *job;
    page.live = add(page.live, 1)?;
    market.tail = add(place, 1)?;
    Ok(place)
}

/// Empty the job's place.
#[inline(always)]
pub fn remove(market: &Key, place: u64, page: &mut Page, job: &Key) -> Result {
    require_page(market, place / PAGE_PLACES, page)?;
    let slot = &mut page.places[(place % PAGE_PLACES) as usize];
    require!(slot == job, errors::NOT_IN_QUEUE);
    *slot = Key::ZERO;
    page.live = sub(page.live, 1)?;
    Ok(())
}
