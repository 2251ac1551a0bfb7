// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;

pub const MOST_PROGRAMS: u64 = 8;
pub const DAY_SECONDS: u64 = 86400;

pub mod errors {
    use interface::Error;
    /// The parameters are outside their bounds.
    pub const BAD_PARAMETERS: Error = Error(6100);
    /// This kind of proposal cannot call this program, or not with this payload.
    pub const BAD_PROGRAM: Error = Error(6101);
    /// The stake is not the proposer's.
    pub const NOT_OWNERS_STAKE: Error = Error(6102);
    /// The stake's weight is too low to propose.
    pub const WEIGHT_TOO_LOW: Error = Error(6103);
    /// The stake had no weight before the vote was opened, or changed twice since.
    pub const NO_WEIGHT: Error = Error(6104);
    /// The proposal is in another state.
    pub const WRONG_STATE: Error = Error(6105);
    /// It is not time for this yet.
    pub const TOO_EARLY: Error = Error(6106);
    /// The time for this is over.
    pub const TOO_LATE: Error = Error(6107);
    /// These are not the accounts the proposal was voted with.
    pub const WRONG_ACCOUNTS: Error = Error(6108);
    /// Nobody stakes, so nobody can vote.
    pub const NOBODY_STAKES: Error = Error(6109);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Kind(pub u8);
impl Kind {
    pub const MARKET_PARAMETER: Self = Self(0);
    pub const STAKING_PARAMETER: Self = Self(1);
    pub const TREASURY_SPEND: Self = Self(2);
    pub const PROGRAM_UPGRADE: Self = Self(3);
    pub const TEXT: Self = Self(4);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct ProposalState(pub u8);
impl ProposalState {
    pub const DRAFT: Self = Self(0);
    pub const ACTIVE: Self = Self(1);
    pub const DEFEATED: Self = Self(2);
    pub const QUEUED: Self = Self(3);
    pub const EXECUTED: Self = Self(4);
    pub const EXPIRED: Self = Self(5);
    pub const CANCELLED: Self = Self(6);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Choice(pub u8);
impl Choice {
    pub const FOR: Self = Self(0);
    pub const AGAINST: Self = Self(1);
    pub const ABSTAIN: Self = Self(2);
}

/// What governance may change of itself, within bounds: µHYPER of weight to propose, seconds, and basis points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Parameters {
    pub least_weight: u64,
    pub voting_seconds: u32,
    pub timelock_seconds: u32,
    pub expiry_seconds: u32,
    pub quorum_bps: u16,
    pub padding: [u8; 2],
}
const _: () = assert!(core::mem::size_of::<Parameters>() == 24);

/// Where weights are, and whose parameters a vote may change.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Config {
    discriminator: u64,
    pub signer: Key,
    pub staking: Key,
    pub staking_pool: Key,
    pub markets: Key,
    pub programs: [Key; 8],
    pub parameters: Parameters,
    pub program_count: u8,
    pub signer_bump: u8,
    pub padding: [u8; 6],
}
const _: () = assert!(core::mem::size_of::<Config>() == 424);
const _: () = assert!(core::mem::align_of::<Config>() <= 8);
unsafe impl Layout for Config {
    const DISCRIMINATOR: u64 = 0x82ccfa1ee0aa0c9b;
}

/// The address that holds the treasury, the parameters and the upgrade authority.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Authority {
    discriminator: u64,
    pub program: Key,
}
const _: () = assert!(core::mem::size_of::<Authority>() == 40);
const _: () = assert!(core::mem::align_of::<Authority>() <= 8);
unsafe impl Layout for Authority {
    const DISCRIMINATOR: u64 = 0x241b90a712fe6c24;
}

/// A proposal, for ever, so that an id never means two things.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Proposal {
    discriminator: u64,
    pub proposer: Key,
    pub program: Key,
    pub accounts: [u8; 32],
    pub id: u64,
    pub created_at: i64,
    pub activated_at: i64,
    pub activated_slot: u64,
    pub queued_at: i64,
    pub total_weight: u64,
    pub votes_for: u64,
    pub votes_against: u64,
    pub votes_abstain: u64,
    pub parameters: Parameters,
    pub payload: [u8; 256],
    pub title: [u8; 100],
    pub payload_length: u16,
    pub title_length: u8,
    pub kind: Kind,
    pub state: ProposalState,
    pub bump: u8,
    pub padding: [u8; 6],
}
const _: () = assert!(core::mem::size_of::<Proposal>() == 568);
const _: () = assert!(core::mem::align_of::<Proposal>() <= 8);
unsafe impl Layout for Proposal {
    const DISCRIMINATOR: u64 = 0x21358874bbbd5e1a;
}

/// One stake's vote.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Vote {
    discriminator: u64,
    pub proposal: Key,
    pub stake: Key,
    pub voter: Key,
    pub weight: u64,
    pub choice: Choice,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Vote>() == 120);
const _: () = assert!(core::mem::align_of::<Vote>() <= 8);
unsafe impl Layout for Vote {
    const DISCRIMINATOR: u64 = 0x9bac239139685b60;
}

#[repr(C)]
pub struct Proposed {
    pub proposal: Key,
    pub proposer: Key,
    pub kind: Kind,
}
impl Proposed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Proposed);
        let event = Event(0x99b4d0828d8a25d8, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 73) });
    }
}

#[repr(C)]
pub struct Voted {
    pub proposal: Key,
    pub stake: Key,
    pub weight: u64,
    pub choice: Choice,
}
impl Voted {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Voted);
        let event = Event(0x825fd66d7f654abd, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 81) });
    }
}

#[repr(C)]
pub struct StateChanged {
    pub proposal: Key,
    pub state: ProposalState,
}
impl StateChanged {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, StateChanged);
        let event = Event(0xc0d61a2be0379600, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 41) });
    }
}

/// What this program reads and calls of markets.
pub mod markets {
    use interface::*;
/// Discriminators of its instructions that this program calls.
pub mod calls {
    pub const SET_PARAMETERS: [u8; 8] = [218, 114, 41, 75, 208, 237, 97, 28];
    pub const SET_MARKET: [u8; 8] = [24, 133, 119, 187, 28, 115, 163, 81];
}
}

/// What this program reads and calls of nodes.
pub mod nodes {
    use interface::*;
/// Discriminators of its instructions that this program calls.
pub mod calls {
    pub const SET_VERIFIERS: [u8; 8] = [113, 84, 201, 251, 240, 146, 191, 127];
}
}

/// What this program reads and calls of staking.
pub mod staking {
    use interface::*;
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct StakeState(pub u8);
impl StakeState {
    pub const WITHDRAWN: Self = Self(0);
    pub const ACTIVE: Self = Self(1);
    pub const UNSTAKING: Self = Self(2);
}

/// What governance may change, within bounds: days from 14 to 365, and the least amount of a stake in µHYPER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Parameters {
    pub least_amount: u64,
    pub shortest_days: u16,
    pub longest_days: u16,
    pub padding: [u8; 4],
}
const _: () = assert!(core::mem::size_of::<Parameters>() == 16);

/// The sums of all stakes, with the weight before the slot it last changed in, and who else has a say.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pool {
    discriminator: u64,
    pub authority: Key,
    pub slasher: Key,
    pub slashed: Key,
    pub rewards: Key,
    pub rewards_pool: Key,
    pub mint: Key,
    pub vault: Key,
    pub amount: u64,
    pub weight: u64,
    pub weight_slot: u64,
    pub previous_weight: u64,
    pub parameters: Parameters,
    pub bump: u8,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Pool>() == 288);
const _: () = assert!(core::mem::align_of::<Pool>() <= 8);
unsafe impl Layout for Pool {
    const DISCRIMINATOR: u64 = 0xbc6db111046d9af1;
}

/// One stake. `earned` is settled up to `snapshot`; the last two weights are kept with the slots they began in.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Stake {
    discriminator: u64,
    pub owner: Key,
    pub id: u64,
    pub amount: u64,
    pub weight: u64,
    pub weight_slot: u64,
    pub previous_weight: u64,
    pub previous_slot: u64,
    pub earned: u64,
    pub snapshot: U128,
    pub locked_at: i64,
    pub free_at: i64,
    pub days: u16,
    pub reports: u16,
    pub state: StakeState,
    pub bump: u8,
    pub padding: [u8; 2],
}
const _: () = assert!(core::mem::size_of::<Stake>() == 136);
const _: () = assert!(core::mem::align_of::<Stake>() <= 8);
unsafe impl Layout for Stake {
    const DISCRIMINATOR: u64 = 0x957084371db0c596;
}

}

/// What this program reads and calls of token.
pub mod token {
    use interface::*;
/// Discriminators of its instructions that this program calls.
pub mod calls {
    pub const SET_DESTINATIONS: [u8; 8] = [223, 230, 41, 237, 76, 161, 176, 194];
}
}

/// Sets the program up. `programs` are those whose parameters a staking-parameter vote may change.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub config: RecordMut<'a, Config>,
    pub config_bump: u8,
    pub signer: RecordMut<'a, Authority>,
    pub signer_bump: u8,
    pub system: Fixed<'a>,
}
pub struct InitializeArguments {
    pub staking: Key,
    pub staking_pool: Key,
    pub markets: Key,
    pub programs: [Key; 8],
    pub program_count: u8,
    pub parameters: Parameters,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, config, signer, system] = input.accounts::<6>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        staking: reader.pubkey()?,
        staking_pool: reader.pubkey()?,
        markets: reader.pubkey()?,
        programs: { let mut all = [Key::ZERO; 8]; for each in all.iter_mut() { *each = reader.pubkey()?; } all },
        program_count: reader.u8()?,
        parameters: Parameters { least_weight: reader.u64()?, voting_seconds: reader.u32()?, timelock_seconds: reader.u32()?, expiry_seconds: reader.u32()?, quorum_bps: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    let (config, config_bump) = RecordMut::<Config>::create(config, &deployer, input.program, &[Seed::new(b"config")])?;
    let (signer, signer_bump) = RecordMut::<Authority>::create(signer, &deployer, input.program, &[Seed::new(b"authority")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, config, config_bump, signer, signer_bump, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Changes the parameters for later proposals; only a vote can.
pub struct SetParametersAccounts<'a> {
    pub signer: Record<'a, Authority>,
    pub config: RecordMut<'a, Config>,
}
pub struct SetParametersArguments {
    pub parameters: Parameters,
}
#[inline(never)]
fn set_parameters<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [signer, config] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SetParametersArguments {
        parameters: Parameters { least_weight: reader.u64()?, voting_seconds: reader.u32()?, timelock_seconds: reader.u32()?, expiry_seconds: reader.u32()?, quorum_bps: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let signer = Record::<Authority>::new(signer, input.program)?;
    let config = RecordMut::<Config>::new(config, input.program)?;
    require!(signer.account().is_signer(), Error::NOT_SIGNER);
    require!(*signer.key() == config.signer, Error::WRONG_ADDRESS);
    let mut accounts = SetParametersAccounts { signer, config };
    crate::set_parameters(&mut accounts, &arguments, input)
}

/// Drafts a proposal. `accounts` is the sha256 of the accounts it is to be executed with, each key and one byte: 1 signs, 2 is written; of an upgrade, followed by all bytes of the image in the buffer.
pub struct ProposeAccounts<'a> {
    pub proposer: Signer<'a>,
    pub config: Record<'a, Config>,
    pub stake: Record<'a, staking::Stake>,
    pub proposal: RecordMut<'a, Proposal>,
    pub proposal_bump: u8,
    pub system: Fixed<'a>,
}
pub struct ProposeArguments<'a> {
    pub id: u64,
    pub kind: Kind,
    pub program: Key,
    pub accounts_hash: [u8; 32],
    pub title: &'a [u8],
    pub payload: &'a [u8],
}
#[inline(never)]
fn propose<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [proposer, config, stake, proposal, system] = input.accounts::<5>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = ProposeArguments {
        id: reader.u64()?,
        kind: Kind(reader.variant(5)?),
        program: reader.pubkey()?,
        accounts_hash: reader.array()?,
        title: reader.string(100)?,
        payload: reader.bytes(256)?,
    };
    reader.end()?;
    let proposer = Signer::new(proposer, true)?;
    let config = Record::<Config>::new(config, input.program)?;
    let stake = Record::<staking::Stake>::new(stake, &config.staking)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    let (proposal, proposal_bump) = RecordMut::<Proposal>::create(proposal, &proposer, input.program, &[Seed::new(b"proposal"), Seed::new(proposer.key().bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let mut accounts = ProposeAccounts { proposer, config, stake, proposal, proposal_bump, system };
    crate::propose(&mut accounts, &arguments, input)
}

/// Opens the vote, and keeps the total weight and the slot.
pub struct ActivateAccounts<'a> {
    pub proposer: Signer<'a>,
    pub config: Record<'a, Config>,
    pub staking_pool: Record<'a, staking::Pool>,
    pub proposal: RecordMut<'a, Proposal>,
}
#[inline(never)]
fn activate<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [proposer, config, staking_pool, proposal] = input.accounts::<4>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let proposer = Signer::new(proposer, false)?;
    let config = Record::<Config>::new(config, input.program)?;
    let staking_pool = Record::<staking::Pool>::new(staking_pool, &config.staking)?;
    let proposal = RecordMut::<Proposal>::new(proposal, input.program)?;
    require!(*proposer.key() == proposal.proposer, Error::WRONG_ADDRESS);
    require!(*staking_pool.key() == config.staking_pool, Error::WRONG_ADDRESS);
    let mut accounts = ActivateAccounts { proposer, config, staking_pool, proposal };
    crate::activate(&mut accounts, input)
}

/// Takes a proposal back before its vote has ended.
pub struct CancelAccounts<'a> {
    pub proposer: Signer<'a>,
    pub proposal: RecordMut<'a, Proposal>,
}
#[inline(never)]
fn cancel<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [proposer, proposal] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let proposer = Signer::new(proposer, false)?;
    let proposal = RecordMut::<Proposal>::new(proposal, input.program)?;
    require!(*proposer.key() == proposal.proposer, Error::WRONG_ADDRESS);
    let mut accounts = CancelAccounts { proposer, proposal };
    crate::cancel(&mut accounts, input)
}

/// Votes with a stake, by the weight it had before the vote was opened.
pub struct VoteAccounts<'a> {
    pub voter: Signer<'a>,
    pub config: Record<'a, Config>,
    pub proposal: RecordMut<'a, Proposal>,
    pub stake: Record<'a, staking::Stake>,
    pub vote: RecordMut<'a, Vote>,
    pub vote_bump: u8,
    pub system: Fixed<'a>,
}
pub struct VoteArguments {
    pub choice: Choice,
}
#[inline(never)]
fn vote<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [voter, config, proposal, stake, vote, system] = input.accounts::<6>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = VoteArguments {
        choice: Choice(reader.variant(3)?),
    };
    reader.end()?;
    let voter = Signer::new(voter, true)?;
    let config = Record::<Config>::new(config, input.program)?;
    let proposal = RecordMut::<Proposal>::new(proposal, input.program)?;
    let stake = Record::<staking::Stake>::new(stake, &config.staking)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*voter.key() == stake.owner, Error::WRONG_ADDRESS);
    let (vote, vote_bump) = RecordMut::<Vote>::create(vote, &voter, input.program, &[Seed::new(b"vote"), Seed::new(proposal.key().bytes()), Seed::new(stake.key().bytes())])?;
    let mut accounts = VoteAccounts { voter, config, proposal, stake, vote, vote_bump, system };
    crate::vote(&mut accounts, &arguments, input)
}

/// Counts the votes once the time to vote is over.
pub struct FinalizeAccounts<'a> {
    pub proposal: RecordMut<'a, Proposal>,
}
#[inline(never)]
fn finalize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [proposal] = input.accounts::<1>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let proposal = RecordMut::<Proposal>::new(proposal, input.program)?;
    let mut accounts = FinalizeAccounts { proposal };
    crate::finalize(&mut accounts, input)
}

/// Does what was voted, after the timelock and before it expires.
pub struct ExecuteAccounts<'a> {
    pub config: Record<'a, Config>,
    pub proposal: RecordMut<'a, Proposal>,
    pub program: Wallet<'a>,
}
impl ExecuteAccounts<'_> {
    /// Accounts before those that may follow.
    pub const COUNT: usize = 3;
}
#[inline(never)]
fn execute<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, proposal, program] = input.leading::<3>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let proposal = RecordMut::<Proposal>::new(proposal, input.program)?;
    let program = Wallet::new(program, false)?;
    require!(*program.key() == proposal.program, Error::WRONG_ADDRESS);
    let mut accounts = ExecuteAccounts { config, proposal, program };
    crate::execute(&mut accounts, input)
}

/// Marks a proposal that was not executed in time.
pub struct ExpireAccounts<'a> {
    pub proposal: RecordMut<'a, Proposal>,
}
#[inline(never)]
fn expire<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [proposal] = input.accounts::<1>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let proposal = RecordMut::<Proposal>::new(proposal, input.program)?;
    let mut accounts = ExpireAccounts { proposal };
    crate::expire(&mut accounts, input)
}

/// Closes a vote's record once the vote has ended; its rent goes to the voter.
pub struct CloseVoteAccounts<'a> {
    pub proposal: Record<'a, Proposal>,
    pub vote: RecordMut<'a, Vote>,
    pub voter: Wallet<'a>,
}
#[inline(never)]
fn close_vote<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [proposal, vote, voter] = input.accounts::<3>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let proposal = Record::<Proposal>::new(proposal, input.program)?;
    let vote = RecordMut::<Vote>::new(vote, input.program)?;
    let voter = Wallet::new(voter, true)?;
    require!(*proposal.key() == vote.proposal, Error::WRONG_ADDRESS);
    require!(*voter.key() == vote.voter, Error::WRONG_ADDRESS);
    let mut accounts = CloseVoteAccounts { proposal, vote, voter };
    crate::close_vote(&mut accounts, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0x1c61edd04b2972da => set_parameters(input, data),
        0x5a662176a852fd5d => propose(input, data),
        0x52aa37976423cbc2 => activate(input, data),
        0xbedcecdb29dfdbe8 => cancel(input, data),
        0x19ac7e88179b6ee3 => vote(input, data),
        0xd90c737f38da3dab => finalize(input, data),
        0x1dbdc10d9af2dd82 => execute(input, data),
        0x92f7c9393acd53f3 => expire(input, data),
        0x3b85efaaf9579889 => close_vote(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
