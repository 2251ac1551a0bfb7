//! Panels: who may sit, who is drawn, and when what may be done.
//!
//! The panel is the eligible stakes with the lowest tickets, sha256(seed, stake), among those that anyone names while the draw
//! is open. So it needs no list of validators that could be filled or go stale, and the seed is the hash of a slot that
//! nobody knew when the report was made. An owner has one seat, however many stakes and nodes; a ticket hangs on a stake of full size
//! from before the report, so that more tickets cost as much as more stake.
use interface::math::later;
use interface::{Key, Result, clock, require};

use crate::generated::*;

/// What a round is at, by the clock.
#[derive(PartialEq)]
pub enum Phase {
    Draw,
    Commit,
    Reveal,
    Over,
}

/// Refuse unless the round is at this phase.
#[inline(never)]
pub fn require_phase(case: &Case, phase: Phase) -> Result {
    require!(case.state == CaseState::VOTING, errors::WRONG_STATE);
    let drawn = later(case.drawn_at, case.parameters.draw_seconds as u64)?;
    let committed = later(drawn, case.parameters.commit_seconds as u64)?;
    let revealed = later(committed, case.parameters.reveal_seconds as u64)?;
    let (begin, end) = match phase {
        Phase::Draw => (case.drawn_at, drawn),
        Phase::Commit => (drawn, committed),
        Phase::Reveal => (committed, revealed),
        Phase::Over => (revealed, i64::MAX),
    };
    let time = clock::now()?.time;
    require!(time >= begin, errors::TOO_EARLY);
    require!(time < end, errors::TOO_LATE);
    Ok(())
}

/// Refuse who may not judge this case. A stake under report may: else whoever wants a panel of friends would report all
/// others.
#[inline(never)]
pub fn require_validator(case: &Case, stake: &staking::Stake, node: &nodes::Node) -> Result {
    let valid = stake.state == staking::StakeState::ACTIVE
        && stake.amount >= case.parameters.validator_amount
        && node.owner == stake.owner
        && node.score as u64 >= GOOD_STANDING
        && node.state == nodes::NodeState::ACTIVE;
    require!(valid, errors::NO_VALIDATOR);
    let older = stake.weight_slot < case.reported_slot && node.registered_slot < case.reported_slot;
    require!(older, errors::TOO_NEW);
    let owner = &stake.owner;
    let sat = case.round == 2 && case.first[..(case.first_seats as usize).min(10)].contains(owner);
    require!(*owner != case.accused && *owner != case.reporter && !sat, errors::PARTIAL);
    Ok(())
}

/// Give the owner a seat if the ticket is low enough: in place of its own higher one, on a free seat, or in place of the
/// highest.
#[inline(never)]
pub fn seat(case: &mut Case, owner: Key, node: Key, ticket: u64) -> Result {
    let size = if case.round == 1 { FIRST_PANEL } else { SECOND_PANEL } as usize;
    let taken = (case.seats as usize).min(size);
    let mut place = taken;
    let mut highest = 0;
    while highest < taken && case.panel[highest].owner != owner {
        highest += 1;
    }
    if highest < taken {
        place = highest;
    } else if taken == size {
        place = 0;
        let mut index = 1;
        while index < size {
            if case.panel[index].ticket > case.panel[place].ticket {
                place = index;
            }
            index += 1;
        }
    }
    if place < taken {
        require!(ticket < case.panel[place].ticket, errors::NOT_DRAWN);
    } else {
        case.seats += 1;
    }
    case.panel[place] = Seat { owner, node, ticket, commitment: [0; 32], ballot: Ballot::NONE, padding: [0; 7] };
    Ok(())
}

/// The seat for which this key speaks: the owner's, or the node's that was named. The owner's too, because whoever names
/// an owner may choose one of its nodes that is switched off.
#[inline(always)]
pub fn seat_of<'a>(case: &'a mut Case, key: &Key) -> Result<&'a mut Seat> {
    let taken = (case.seats as usize).min(10);
    let speaks = |seat: &&mut Seat| seat.node == *key || seat.owner == *key;
    case.panel[..taken].iter_mut().find(speaks).ok_or(errors::NOT_ON_PANEL)
}

/// Votes for and against the report.
#[inline(always)]
pub fn count(case: &Case) -> (u64, u64) {
    let (mut votes_for, mut votes_against) = (0, 0);
    for seat in &case.panel[..(case.seats as usize).min(10)] {
        votes_for += (seat.ballot == Ballot::FOR) as u64;
        votes_against += (seat.ballot == Ballot::AGAINST) as u64;
    }
    (votes_for, votes_against)
}

/// Remember who sat on the first panel.
#[inline(always)]
pub fn keep_first(case: &mut Case) {
    let mut index = 0;
    while index < (case.seats as usize).min(10) {
        case.first[index] = case.panel[index].owner;
        index += 1;
    }
    case.first_seats = case.seats;
}
