// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;

pub const FIRST_PANEL: u64 = 10;
pub const SECOND_PANEL: u64 = 7;
pub const LEAST_VOTES: u64 = 3;
pub const GOOD_STANDING: u64 = 500;
pub const HIGHEST_SLASH_BPS: u64 = 5000;
pub const REWARD_BPS: u64 = 1000;
pub const BURN_BPS: u64 = 5000;
pub const SEED_DELAY_SLOTS: u64 = 16;

pub mod errors {
    use interface::Error;
    /// The parameters are outside their bounds.
    pub const BAD_PARAMETERS: Error = Error(6100);
    /// The case is in another state.
    pub const WRONG_STATE: Error = Error(6101);
    /// It is not time for this yet.
    pub const TOO_EARLY: Error = Error(6102);
    /// The time for this is over.
    pub const TOO_LATE: Error = Error(6103);
    /// The stake is not active or too small, or the node is not its owner's, not in good standing, or retired.
    pub const NO_VALIDATOR: Error = Error(6104);
    /// The stake's weight or the node is not older than the report.
    pub const TOO_NEW: Error = Error(6105);
    /// The accused, the reporter and members of the first panel cannot judge.
    pub const PARTIAL: Error = Error(6106);
    /// The panel is full of lower tickets.
    pub const NOT_DRAWN: Error = Error(6107);
    /// This key is not on the panel.
    pub const NOT_ON_PANEL: Error = Error(6108);
    /// The vote is committed already.
    pub const ALREADY_COMMITTED: Error = Error(6109);
    /// The vote and salt are not what was committed to, or were shown already.
    pub const WRONG_REVEAL: Error = Error(6110);
    /// The case has not ended.
    pub const STILL_OPEN: Error = Error(6111);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Kind(pub u8);
impl Kind {
    pub const TIMEOUT: Self = Self(0);
    pub const OFFLINE: Self = Self(1);
    pub const REPEATED_FAILURES: Self = Self(2);
    pub const INVALID_RESULT: Self = Self(3);
    pub const FORGERY: Self = Self(4);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct CaseState(pub u8);
impl CaseState {
    pub const WAITING: Self = Self(0);
    pub const VOTING: Self = Self(1);
    pub const CONFIRMED: Self = Self(2);
    pub const UPHELD: Self = Self(3);
    pub const DISMISSED: Self = Self(4);
    pub const OVERTURNED: Self = Self(5);
    pub const EXECUTED: Self = Self(6);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Ballot(pub u8);
impl Ballot {
    pub const NONE: Self = Self(0);
    pub const FOR: Self = Self(1);
    pub const AGAINST: Self = Self(2);
}

/// What governance may change, within bounds: µHYPER of bond and of a validator's stake, seconds, and basis points for each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Parameters {
    pub bond: u64,
    pub validator_amount: u64,
    pub draw_seconds: u32,
    pub commit_seconds: u32,
    pub reveal_seconds: u32,
    pub appeal_seconds: u32,
    pub bps: [u16; 5],
    pub padding: [u8; 6],
}
const _: () = assert!(core::mem::size_of::<Parameters>() == 48);

/// A place on a panel: whose it is, the node that speaks, the ticket that drew it, what it committed to and voted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Seat {
    pub owner: Key,
    pub node: Key,
    pub ticket: u64,
    pub commitment: [u8; 32],
    pub ballot: Ballot,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Seat>() == 112);

/// Where stakes, nodes and proceeds are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Config {
    discriminator: u64,
    pub authority: Key,
    pub signer: Key,
    pub mint: Key,
    pub vault: Key,
    pub staking: Key,
    pub staking_pool: Key,
    pub nodes: Key,
    pub collection: Key,
    pub treasury: Key,
    pub parameters: Parameters,
    pub signer_bump: u8,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Config>() == 352);
const _: () = assert!(core::mem::align_of::<Config>() <= 8);
unsafe impl Layout for Config {
    const DISCRIMINATOR: u64 = 0x82ccfa1ee0aa0c9b;
}

/// The address that may freeze and slash; it holds nothing but its place.
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

/// One report and what became of it. `first` are the owners of the first panel, who may not sit on the second.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Case {
    discriminator: u64,
    pub reporter: Key,
    pub stake: Key,
    pub accused: Key,
    pub evidence: [u8; 32],
    pub seed: [u8; 32],
    pub id: u64,
    pub bond: u64,
    pub reported_slot: u64,
    pub seed_slot: u64,
    pub reported_at: i64,
    pub drawn_at: i64,
    pub confirmed_at: i64,
    pub parameters: Parameters,
    pub panel: [Seat; 10],
    pub first: [Key; 10],
    pub bps: u16,
    pub kind: Kind,
    pub state: CaseState,
    pub round: u8,
    pub seats: u8,
    pub first_seats: u8,
    pub bump: u8,
}
const _: () = assert!(core::mem::size_of::<Case>() == 1720);
const _: () = assert!(core::mem::align_of::<Case>() <= 8);
unsafe impl Layout for Case {
    const DISCRIMINATOR: u64 = 0xb09aa23c1a93de18;
}

#[repr(C)]
pub struct Reported {
    pub case: Key,
    pub stake: Key,
    pub evidence: [u8; 32],
    pub kind: Kind,
}
impl Reported {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Reported);
        let event = Event(0x205200d4be64d4e7, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 105) });
    }
}

#[repr(C)]
pub struct RoundClosed {
    pub case: Key,
    pub votes_for: u64,
    pub votes_against: u64,
    pub state: CaseState,
}
impl RoundClosed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, RoundClosed);
        let event = Event(0xe2af4684161cf32d, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 57) });
    }
}

#[repr(C)]
pub struct Executed {
    pub case: Key,
    pub stake: Key,
    pub proceeds: u64,
    pub burned: u64,
    pub reward: u64,
    pub treasury: u64,
}
impl Executed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Executed);
        let event = Event(0xa41d2dc5848be808, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 104) });
    }
}

/// What this program reads and calls of nodes.
pub mod nodes {
    use interface::*;
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Tier(pub u8);
impl Tier {
    pub const STARTER: Self = Self(0);
    pub const BRONZE: Self = Self(1);
    pub const SILVER: Self = Self(2);
    pub const GOLD: Self = Self(3);
    pub const DIAMOND: Self = Self(4);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct NodeState(pub u8);
impl NodeState {
    pub const ACTIVE: Self = Self(0);
    pub const RETIRED: Self = Self(1);
}

/// One node. It is never closed, so that a bad name cannot be shed by registering again.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Node {
    discriminator: u64,
    pub key: Key,
    pub owner: Key,
    pub capability: [u8; 32],
    pub checkpoint: [u8; 32],
    pub registered_slot: u64,
    pub registered_at: i64,
    pub sequence: u64,
    pub seen_at: i64,
    pub rated_at: i64,
    pub cause: u16,
    pub score: u16,
    pub tier: Tier,
    pub state: NodeState,
    pub bump: u8,
    pub padding: [u8; 1],
}
const _: () = assert!(core::mem::size_of::<Node>() == 184);
const _: () = assert!(core::mem::align_of::<Node>() <= 8);
unsafe impl Layout for Node {
    const DISCRIMINATOR: u64 = 0x31b47a31030135d0;
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

/// Discriminators of its instructions that this program calls.
pub mod calls {
    pub const FREEZE: [u8; 8] = [255, 91, 207, 84, 251, 194, 254, 63];
    pub const RELEASE: [u8; 8] = [253, 249, 15, 206, 28, 127, 193, 241];
    pub const SLASH: [u8; 8] = [204, 141, 18, 161, 8, 177, 92, 142];
}
}

/// Sets the program up.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub mint: Mint<'a>,
    pub config: RecordMut<'a, Config>,
    pub config_bump: u8,
    pub signer: RecordMut<'a, Authority>,
    pub signer_bump: u8,
    pub vault: TokenAccount<'a>,
    pub vault_bump: u8,
    pub collection: TokenAccount<'a>,
    pub treasury: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct InitializeArguments {
    pub authority: Key,
    pub staking: Key,
    pub staking_pool: Key,
    pub nodes: Key,
    pub parameters: Parameters,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, mint, config, signer, vault, collection, treasury, token, system] = input.accounts::<11>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        authority: reader.pubkey()?,
        staking: reader.pubkey()?,
        staking_pool: reader.pubkey()?,
        nodes: reader.pubkey()?,
        parameters: Parameters { bond: reader.u64()?, validator_amount: reader.u64()?, draw_seconds: reader.u32()?, commit_seconds: reader.u32()?, reveal_seconds: reader.u32()?, appeal_seconds: reader.u32()?, bps: { let mut all = [0; 5]; for each in all.iter_mut() { *each = reader.u16()?; } all }, padding: reader.array()? },
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let mint = Mint::new(mint, false)?;
    let collection = TokenAccount::new(collection, false)?;
    let treasury = TokenAccount::new(treasury, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    require!(*collection.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*treasury.mint() == *mint.key(), Error::WRONG_MINT);
    let (config, config_bump) = RecordMut::<Config>::create(config, &deployer, input.program, &[Seed::new(b"config")])?;
    let (signer, signer_bump) = RecordMut::<Authority>::create(signer, &deployer, input.program, &[Seed::new(b"authority")])?;
    let (vault, vault_bump) = TokenAccount::create(vault, &deployer, input.program, &mint, signer.key(), &[Seed::new(b"vault")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, mint, config, config_bump, signer, signer_bump, vault, vault_bump, collection, treasury, token, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Changes the parameters for later reports, and where proceeds go.
pub struct SetParametersAccounts<'a> {
    pub authority: Signer<'a>,
    pub config: RecordMut<'a, Config>,
    pub collection: TokenAccount<'a>,
    pub treasury: TokenAccount<'a>,
}
pub struct SetParametersArguments {
    pub parameters: Parameters,
}
#[inline(never)]
fn set_parameters<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, config, collection, treasury] = input.accounts::<4>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SetParametersArguments {
        parameters: Parameters { bond: reader.u64()?, validator_amount: reader.u64()?, draw_seconds: reader.u32()?, commit_seconds: reader.u32()?, reveal_seconds: reader.u32()?, appeal_seconds: reader.u32()?, bps: { let mut all = [0; 5]; for each in all.iter_mut() { *each = reader.u16()?; } all }, padding: reader.array()? },
    };
    reader.end()?;
    let authority = Signer::new(authority, false)?;
    let config = RecordMut::<Config>::new(config, input.program)?;
    let collection = TokenAccount::new(collection, false)?;
    let treasury = TokenAccount::new(treasury, false)?;
    require!(*authority.key() == config.authority, Error::WRONG_ADDRESS);
    require!(*collection.mint() == config.mint, Error::WRONG_MINT);
    require!(*treasury.mint() == config.mint, Error::WRONG_MINT);
    let mut accounts = SetParametersAccounts { authority, config, collection, treasury };
    crate::set_parameters(&mut accounts, &arguments, input)
}

/// Reports a stake's owner, with a bond; the stake is frozen until the case ends.
pub struct ReportAccounts<'a> {
    pub reporter: Signer<'a>,
    pub config: Record<'a, Config>,
    pub signer: Record<'a, Authority>,
    pub case: RecordMut<'a, Case>,
    pub case_bump: u8,
    pub staking: Wallet<'a>,
    pub staking_pool: Record<'a, staking::Pool>,
    pub stake: RecordMut<'a, staking::Stake>,
    pub source: TokenAccount<'a>,
    pub vault: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct ReportArguments {
    pub id: u64,
    pub kind: Kind,
    pub evidence: [u8; 32],
}
#[inline(never)]
fn report<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [reporter, config, signer, case, staking, staking_pool, stake, source, vault, token, system] = input.accounts::<11>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = ReportArguments {
        id: reader.u64()?,
        kind: Kind(reader.variant(5)?),
        evidence: reader.array()?,
    };
    reader.end()?;
    let reporter = Signer::new(reporter, true)?;
    let config = Record::<Config>::new(config, input.program)?;
    let signer = Record::<Authority>::new(signer, input.program)?;
    let staking = Wallet::new(staking, false)?;
    let staking_pool = Record::<staking::Pool>::new(staking_pool, &config.staking)?;
    let stake = RecordMut::<staking::Stake>::new(stake, &config.staking)?;
    let source = TokenAccount::new(source, true)?;
    let vault = TokenAccount::new(vault, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*signer.key() == config.signer, Error::WRONG_ADDRESS);
    require!(*staking.key() == config.staking, Error::WRONG_ADDRESS);
    require!(*staking_pool.key() == config.staking_pool, Error::WRONG_ADDRESS);
    require!(*source.mint() == config.mint, Error::WRONG_MINT);
    require!(*source.holder() == *reporter.key(), Error::WRONG_HOLDER);
    require!(*vault.key() == config.vault, Error::WRONG_ADDRESS);
    let (case, case_bump) = RecordMut::<Case>::create(case, &reporter, input.program, &[Seed::new(b"case"), Seed::new(reporter.key().bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let mut accounts = ReportAccounts { reporter, config, signer, case, case_bump, staking, staking_pool, stake, source, vault, token, system };
    crate::report(&mut accounts, &arguments, input)
}

/// Writes the round's seed, the hash of the slot that was named, while the runtime knows it: for 512 slots.
pub struct DrawAccounts<'a> {
    pub case: RecordMut<'a, Case>,
}
#[inline(never)]
fn draw<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [case] = input.accounts::<1>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let mut accounts = DrawAccounts { case };
    crate::draw(&mut accounts, input)
}

/// Puts a validator on the panel if its ticket is low enough.
pub struct NominateAccounts<'a> {
    pub config: Record<'a, Config>,
    pub case: RecordMut<'a, Case>,
    pub stake: Record<'a, staking::Stake>,
    pub node: Record<'a, nodes::Node>,
}
#[inline(never)]
fn nominate<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, case, stake, node] = input.accounts::<4>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let stake = Record::<staking::Stake>::new(stake, &config.staking)?;
    let node = Record::<nodes::Node>::new(node, &config.nodes)?;
    let mut accounts = NominateAccounts { config, case, stake, node };
    crate::nominate(&mut accounts, input)
}

/// A member of the panel commits to a vote, by its owner's key or the key of the node it was named with.
pub struct CommitAccounts<'a> {
    pub key: Signer<'a>,
    pub case: RecordMut<'a, Case>,
}
pub struct CommitArguments {
    pub commitment: [u8; 32],
}
#[inline(never)]
fn commit<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [key, case] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = CommitArguments {
        commitment: reader.array()?,
    };
    reader.end()?;
    let key = Signer::new(key, false)?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let mut accounts = CommitAccounts { key, case };
    crate::commit(&mut accounts, &arguments, input)
}

/// A member of the panel shows the vote it committed to.
pub struct RevealAccounts<'a> {
    pub key: Signer<'a>,
    pub case: RecordMut<'a, Case>,
}
pub struct RevealArguments {
    pub for_report: bool,
    pub salt: [u8; 32],
}
#[inline(never)]
fn reveal<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [key, case] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = RevealArguments {
        for_report: reader.bool()?,
        salt: reader.array()?,
    };
    reader.end()?;
    let key = Signer::new(key, false)?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let mut accounts = RevealAccounts { key, case };
    crate::reveal(&mut accounts, &arguments, input)
}

/// Counts the votes after the time to reveal, or none when nobody drew in time; a report not confirmed, or overturned, ends and its bond goes to the treasury.
pub struct CloseRoundAccounts<'a> {
    pub config: Record<'a, Config>,
    pub signer: Record<'a, Authority>,
    pub case: RecordMut<'a, Case>,
    pub staking: Wallet<'a>,
    pub staking_pool: Record<'a, staking::Pool>,
    pub stake: RecordMut<'a, staking::Stake>,
    pub vault: TokenAccount<'a>,
    pub treasury: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn close_round<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, signer, case, staking, staking_pool, stake, vault, treasury, token] = input.accounts::<9>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let signer = Record::<Authority>::new(signer, input.program)?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let staking = Wallet::new(staking, false)?;
    let staking_pool = Record::<staking::Pool>::new(staking_pool, &config.staking)?;
    let stake = RecordMut::<staking::Stake>::new(stake, &config.staking)?;
    let vault = TokenAccount::new(vault, true)?;
    let treasury = TokenAccount::new(treasury, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*signer.key() == config.signer, Error::WRONG_ADDRESS);
    require!(*staking.key() == config.staking, Error::WRONG_ADDRESS);
    require!(*staking_pool.key() == config.staking_pool, Error::WRONG_ADDRESS);
    require!(*stake.key() == case.stake, Error::WRONG_ADDRESS);
    require!(*vault.key() == config.vault, Error::WRONG_ADDRESS);
    require!(*treasury.key() == config.treasury, Error::WRONG_ADDRESS);
    let mut accounts = CloseRoundAccounts { config, signer, case, staking, staking_pool, stake, vault, treasury, token };
    crate::close_round(&mut accounts, input)
}

/// The accused asks for a second panel.
pub struct AppealAccounts<'a> {
    pub accused: Signer<'a>,
    pub case: RecordMut<'a, Case>,
}
#[inline(never)]
fn appeal<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [accused, case] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let accused = Signer::new(accused, false)?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    require!(*accused.key() == case.accused, Error::WRONG_ADDRESS);
    let mut accounts = AppealAccounts { accused, case };
    crate::appeal(&mut accounts, input)
}

/// Slashes what was confirmed and not appealed in time, or upheld.
pub struct ExecuteAccounts<'a> {
    pub config: Record<'a, Config>,
    pub signer: Record<'a, Authority>,
    pub case: RecordMut<'a, Case>,
    pub staking: Wallet<'a>,
    pub staking_pool: RecordMut<'a, staking::Pool>,
    pub stake: RecordMut<'a, staking::Stake>,
    pub staking_vault: TokenAccount<'a>,
    pub rewards_pool: Unchecked<'a>,
    pub vault: TokenAccount<'a>,
    pub collection: TokenAccount<'a>,
    pub treasury: TokenAccount<'a>,
    pub reporter_token: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn execute<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, signer, case, staking, staking_pool, stake, staking_vault, rewards_pool, vault, collection, treasury, reporter_token, token] = input.accounts::<13>(0x800)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let signer = Record::<Authority>::new(signer, input.program)?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let staking = Wallet::new(staking, false)?;
    let staking_pool = RecordMut::<staking::Pool>::new(staking_pool, &config.staking)?;
    let stake = RecordMut::<staking::Stake>::new(stake, &config.staking)?;
    let staking_vault = TokenAccount::new(staking_vault, true)?;
    let rewards_pool = Unchecked::new(rewards_pool);
    let vault = TokenAccount::new(vault, true)?;
    let collection = TokenAccount::new(collection, true)?;
    let treasury = TokenAccount::new(treasury, true)?;
    let reporter_token = TokenAccount::new(reporter_token, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*signer.key() == config.signer, Error::WRONG_ADDRESS);
    require!(*staking.key() == config.staking, Error::WRONG_ADDRESS);
    require!(*staking_pool.key() == config.staking_pool, Error::WRONG_ADDRESS);
    require!(*stake.key() == case.stake, Error::WRONG_ADDRESS);
    require!(*staking_vault.key() == staking_pool.vault, Error::WRONG_ADDRESS);
    require!(*vault.key() == config.vault, Error::WRONG_ADDRESS);
    require!(*collection.key() == config.collection, Error::WRONG_ADDRESS);
    require!(*treasury.key() == config.treasury, Error::WRONG_ADDRESS);
    require!(*reporter_token.mint() == config.mint, Error::WRONG_MINT);
    require!(*reporter_token.holder() == case.reporter, Error::WRONG_HOLDER);
    let mut accounts = ExecuteAccounts { config, signer, case, staking, staking_pool, stake, staking_vault, rewards_pool, vault, collection, treasury, reporter_token, token };
    crate::execute(&mut accounts, input)
}

/// Closes a case that ended; its rent goes to the reporter.
pub struct CloseCaseAccounts<'a> {
    pub case: RecordMut<'a, Case>,
    pub reporter: Wallet<'a>,
}
#[inline(never)]
fn close_case<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [case, reporter] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let case = RecordMut::<Case>::new(case, input.program)?;
    let reporter = Wallet::new(reporter, true)?;
    require!(*reporter.key() == case.reporter, Error::WRONG_ADDRESS);
    let mut accounts = CloseCaseAccounts { case, reporter };
    crate::close_case(&mut accounts, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0x1c61edd04b2972da => set_parameters(input, data),
        0x5b302db254f57960 => report(input, data),
        0x8218b01fb83e283d => draw(input, data),
        0x6050911ceeb3b957 => nominate(input, data),
        0x4a9cd0e5a58e8cdf => commit(input, data),
        0x734cf9a7be3b2309 => reveal(input, data),
        0x25eae2e658510e95 => close_round(input, data),
        0xec4b34b3f4015bfa => appeal(input, data),
        0x1dbdc10d9af2dd82 => execute(input, data),
        0x371df5ba3e4707bc => close_case(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
