//! Nodes: registered by owner and key together, alive by their own checkpoints, rated by enough verifiers.
#![no_std]

mod generated;

use generated::*;
use interface::{Account, Error, Input, Key, Result, clock, entrypoint, require};

entrypoint!(dispatch);

fn initialize(accounts: &mut InitializeAccounts, arguments: &InitializeArguments, input: &Input) -> Result {
    accounts.config.authority = arguments.authority;
    appoint(&mut accounts.config, input.rest(InitializeAccounts::COUNT), arguments.threshold)
}

fn set_verifiers(accounts: &mut SetVerifiersAccounts, arguments: &SetVerifiersArguments, input: &Input) -> Result {
    appoint(&mut accounts.config, input.rest(SetVerifiersAccounts::COUNT), arguments.threshold)
}

/// Make these accounts the verifiers. They are accounts and no arguments, so that a proposal's payload holds the call.
/// A threshold of half or less would let two groups decide against each other.
fn appoint(config: &mut Config, accounts: &[Account], threshold: u8) -> Result {
    let count = accounts.len();
    require!(count >= 1 && count <= MOST_VERIFIERS as usize, errors::BAD_VERIFIERS);
    require!(2 * threshold as usize > count && threshold as usize <= count, errors::BAD_VERIFIERS);
    config.verifiers = [Key::ZERO; MOST_VERIFIERS as usize];
    let mut index = 0;
    while index < count {
        let key = *accounts[index].key();
        require!(key != Key::ZERO && !config.verifiers[..index].contains(&key), errors::BAD_VERIFIERS);
        config.verifiers[index] = key;
        index += 1;
    }
    config.count = count as u8;
    config.threshold = threshold;
    Ok(())
}

fn register(accounts: &mut RegisterAccounts, arguments: &RegisterArguments, _: &Input) -> Result {
    let now = clock::now()?;
    let node = &mut accounts.node;
    node.key = *accounts.key.key();
    node.owner = *accounts.owner.key();
    node.capability = arguments.capability;
    node.registered_slot = now.slot;
    node.registered_at = now.time;
    node.seen_at = now.time;
    node.score = NEW_SCORE as u16;
    node.tier = tier(node.score);
    node.state = NodeState::ACTIVE;
    node.bump = accounts.node_bump;
    Registered { key: node.key, owner: node.owner, capability: node.capability }.emit();
    Ok(())
}

fn describe(accounts: &mut DescribeAccounts, arguments: &DescribeArguments, _: &Input) -> Result {
    accounts.node.capability = arguments.capability;
    Ok(())
}

fn checkpoint(accounts: &mut CheckpointAccounts, arguments: &CheckpointArguments, _: &Input) -> Result {
    let node = &mut accounts.node;
    require!(arguments.sequence > node.sequence, errors::OLD_CHECKPOINT);
    node.sequence = arguments.sequence;
    node.checkpoint = arguments.checkpoint;
    node.seen_at = clock::now()?.time;
    Ok(())
}

fn record_reputation(
    accounts: &mut RecordReputationAccounts,
    arguments: &RecordReputationArguments,
    input: &Input,
) -> Result {
    require!(arguments.score as u64 <= BEST_SCORE, errors::SCORE_TOO_HIGH);
    let config = &accounts.config;
    let count = config.count as usize;
    // Bit i is set when verifier i signed, so that one that is given twice counts once.
    let mut signed = 0u64;
    for account in input.rest(RecordReputationAccounts::COUNT) {
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
    let node = &mut accounts.node;
    node.score = arguments.score;
    node.tier = tier(arguments.score);
    node.cause = arguments.cause;
    node.rated_at = clock::now()?.time;
    Rated { key: node.key, score: node.score, cause: node.cause, tier: node.tier }.emit();
    Ok(())
}

fn retire(accounts: &mut RetireAccounts, _: &Input) -> Result {
    accounts.node.state = NodeState::RETIRED;
    Ok(())
}

fn resume(accounts: &mut ResumeAccounts, _: &Input) -> Result {
    accounts.node.state = NodeState::ACTIVE;
    Ok(())
}

fn tier(score: u16) -> Tier {
    match score {
        0..=200 => Tier::STARTER,
        201..=500 => Tier::BRONZE,
        501..=750 => Tier::SILVER,
        751..=900 => Tier::GOLD,
        _ => Tier::DIAMOND,
    }
}
