// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;

pub const PAGE_PLACES: u64 = 64;
pub const LEAST_OPERATOR_BPS: u64 = 8000;
pub const BOND_BPS: u64 = 500;
pub const ARBITRATION_SECONDS: u64 = 604800;
pub const DAY_SECONDS: u64 = 86400;

pub mod errors {
    use interface::Error;
    /// The operator's part must be at least 8000 basis points.
    pub const BAD_SPLIT: Error = Error(6100);
    /// A market's terms are outside their bounds.
    pub const BAD_TERMS: Error = Error(6101);
    /// A job runs 1 second to the longest time of its market.
    pub const BAD_LENGTH: Error = Error(6102);
    /// A job must cost something.
    pub const NOTHING_TO_PAY: Error = Error(6103);
    /// This is not the page of the queue that belongs here.
    pub const WRONG_PAGE: Error = Error(6104);
    /// The job is not in this place of the queue.
    pub const NOT_IN_QUEUE: Error = Error(6105);
    /// The page is not full yet, or jobs are in it.
    pub const PAGE_IN_USE: Error = Error(6106);
    /// The job is in another state.
    pub const WRONG_STATE: Error = Error(6107);
    /// It is not time for this yet; only the client or the node may be earlier.
    pub const TOO_EARLY: Error = Error(6108);
    /// The time for this is over.
    pub const TOO_LATE: Error = Error(6109);
    /// The node is retired.
    pub const NODE_RETIRED: Error = Error(6110);
    /// The node's last sign of life is too old; send nodes' checkpoint.
    pub const NODE_SILENT: Error = Error(6111);
    /// The node's score is below what the market wants.
    pub const SCORE_TOO_LOW: Error = Error(6112);
    /// The stake is not of the node's owner.
    pub const NOT_OWNERS_STAKE: Error = Error(6113);
    /// The stake is not active.
    pub const STAKE_NOT_ACTIVE: Error = Error(6114);
    /// The stake's weight is below what the market wants.
    pub const WEIGHT_TOO_LOW: Error = Error(6115);
    /// As many jobs run on this stake as it may carry.
    pub const NO_ROOM: Error = Error(6116);
    /// More seconds are billed than passed, or than the job may run.
    pub const TOO_MANY_SECONDS: Error = Error(6117);
    /// The voucher allows no more than was paid already.
    pub const VOUCHER_TOO_LOW: Error = Error(6118);
    /// The voucher allows more than the escrow holds.
    pub const VOUCHER_TOO_HIGH: Error = Error(6119);
    /// Fewer different verifiers signed than the threshold.
    pub const NOT_ENOUGH_VERIFIERS: Error = Error(6120);
    /// Nothing is due.
    pub const NOTHING_TO_SWEEP: Error = Error(6121);
    /// The vault would hold less than it owes.
    pub const INSOLVENT: Error = Error(6122);
    /// The market's terms are not those the client agreed to; look at them again.
    pub const TERMS_CHANGED: Error = Error(6123);
    /// Vouchers have paid a part of the job; submit what was done for them instead.
    pub const PARTLY_PAID: Error = Error(6124);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct JobState(pub u8);
impl JobState {
    pub const QUEUED: Self = Self(0);
    pub const ASSIGNED: Self = Self(1);
    pub const SUBMITTED: Self = Self(2);
    pub const DISPUTED: Self = Self(3);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Outcome(pub u8);
impl Outcome {
    pub const CANCELLED: Self = Self(0);
    pub const REFUNDED: Self = Self(1);
    pub const SETTLED: Self = Self(2);
    pub const RESOLVED_FOR_NODE: Self = Self(3);
    pub const RESOLVED_FOR_CLIENT: Self = Self(4);
}

/// Basis points of a price; the operator gets the remainder, never below 8000.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Split {
    pub treasury: u16,
    pub incentive: u16,
    pub stakers: u16,
    pub royalty: u16,
}
const _: () = assert!(core::mem::size_of::<Split>() == 8);

/// A market's terms: µHYPER a second and once, weight and score a node needs, and times in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Terms {
    pub rate: u64,
    pub fixed: u64,
    pub least_weight: u64,
    pub longest_seconds: u32,
    pub queue_seconds: u32,
    pub grace_seconds: u32,
    pub dispute_seconds: u32,
    pub fresh_seconds: u32,
    pub least_score: u16,
    pub padding: [u8; 2],
}
const _: () = assert!(core::mem::size_of::<Terms>() == 48);

/// What holds in all markets.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Config {
    discriminator: u64,
    pub authority: Key,
    pub mint: Key,
    pub nodes: Key,
    pub nodes_config: Key,
    pub staking: Key,
    pub treasury: Key,
    pub incentive: Key,
    pub stakers: Key,
    pub split: Split,
}
const _: () = assert!(core::mem::size_of::<Config>() == 272);
const _: () = assert!(core::mem::align_of::<Config>() <= 8);
unsafe impl Layout for Config {
    const DISCRIMINATOR: u64 = 0x82ccfa1ee0aa0c9b;
}

/// A market. Its vault holds `held` for jobs, and what is due to treasury, incentive pool and stakers.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Market {
    discriminator: u64,
    pub authority: Key,
    pub mint: Key,
    pub vault: Key,
    pub id: u64,
    pub serial: u64,
    pub tail: u64,
    pub held: u64,
    pub due_treasury: u64,
    pub due_incentive: u64,
    pub due_stakers: u64,
    pub terms: Terms,
    pub bump: u8,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Market>() == 216);
const _: () = assert!(core::mem::align_of::<Market>() <= 8);
unsafe impl Layout for Market {
    const DISCRIMINATOR: u64 = 0x9ac6e30037d5bedb;
}

/// 64 places of a market's queue; a zero place was taken, or never filled.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Page {
    discriminator: u64,
    pub market: Key,
    pub payer: Key,
    pub index: u64,
    pub live: u64,
    pub places: [Key; 64],
}
const _: () = assert!(core::mem::size_of::<Page>() == 2136);
const _: () = assert!(core::mem::align_of::<Page>() <= 8);
unsafe impl Layout for Page {
    const DISCRIMINATOR: u64 = 0xec395ce57c07f85;
}

/// A job and its escrow, until it closes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Job {
    discriminator: u64,
    pub client: Key,
    pub market: Key,
    pub node: Key,
    pub operator: Key,
    pub stake: Key,
    pub author: Key,
    pub document: [u8; 32],
    pub receipt: [u8; 32],
    pub id: u64,
    pub serial: u64,
    pub place: u64,
    pub deposit: u64,
    pub paid: u64,
    pub price: u64,
    pub bond: u64,
    pub seconds: u64,
    pub opened_at: i64,
    pub assigned_at: i64,
    pub submitted_at: i64,
    pub disputed_at: i64,
    pub terms: Terms,
    pub split: Split,
    pub state: JobState,
    pub bump: u8,
    pub padding: [u8; 6],
}
const _: () = assert!(core::mem::size_of::<Job>() == 424);
const _: () = assert!(core::mem::align_of::<Job>() <= 8);
unsafe impl Layout for Job {
    const DISCRIMINATOR: u64 = 0x50cab4a1cb507c4b;
}

/// How many jobs run on the strength of a stake.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Capacity {
    discriminator: u64,
    pub stake: Key,
    pub running: u64,
}
const _: () = assert!(core::mem::size_of::<Capacity>() == 48);
const _: () = assert!(core::mem::align_of::<Capacity>() <= 8);
unsafe impl Layout for Capacity {
    const DISCRIMINATOR: u64 = 0x10911d278ec4d813;
}

#[repr(C)]
pub struct JobOpened {
    pub job: Key,
    pub market: Key,
    pub client: Key,
    pub document: [u8; 32],
    pub serial: u64,
    pub place: u64,
    pub deposit: u64,
}
impl JobOpened {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, JobOpened);
        let event = Event(0xdcc899fdaa4ba9c2, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 160) });
    }
}

#[repr(C)]
pub struct JobTaken {
    pub job: Key,
    pub node: Key,
    pub stake: Key,
}
impl JobTaken {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, JobTaken);
        let event = Event(0xdd55f98b15f8af31, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 104) });
    }
}

#[repr(C)]
pub struct JobGivenBack {
    pub job: Key,
    pub node: Key,
    pub place: u64,
}
impl JobGivenBack {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, JobGivenBack);
        let event = Event(0x94e0cd20a043bb97, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 80) });
    }
}

#[repr(C)]
pub struct JobSubmitted {
    pub job: Key,
    pub receipt: [u8; 32],
    pub seconds: u64,
    pub price: u64,
}
impl JobSubmitted {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, JobSubmitted);
        let event = Event(0xf88332267f23cc81, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 88) });
    }
}

#[repr(C)]
pub struct JobDisputed {
    pub job: Key,
    pub reason: [u8; 32],
    pub bond: u64,
}
impl JobDisputed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, JobDisputed);
        let event = Event(0xf404bbdd3d407cb, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 80) });
    }
}

#[repr(C)]
pub struct VoucherPaid {
    pub job: Key,
    pub amount: u64,
    pub treasury: u64,
    pub incentive: u64,
    pub stakers: u64,
    pub royalty: u64,
    pub operator: u64,
}
impl VoucherPaid {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, VoucherPaid);
        let event = Event(0xdae28d22e47e849d, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 88) });
    }
}

#[repr(C)]
pub struct JobClosed {
    pub job: Key,
    pub paid: u64,
    pub refunded: u64,
    pub treasury: u64,
    pub incentive: u64,
    pub stakers: u64,
    pub royalty: u64,
    pub operator: u64,
    pub outcome: Outcome,
}
impl JobClosed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, JobClosed);
        let event = Event(0x3702d4ae99f33f7b, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 97) });
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

/// Who may verify.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Config {
    discriminator: u64,
    pub authority: Key,
    pub verifiers: [Key; 16],
    pub count: u8,
    pub threshold: u8,
    pub padding: [u8; 6],
}
const _: () = assert!(core::mem::size_of::<Config>() == 560);
const _: () = assert!(core::mem::align_of::<Config>() <= 8);
unsafe impl Layout for Config {
    const DISCRIMINATOR: u64 = 0x82ccfa1ee0aa0c9b;
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

/// Sets the program up.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub mint: Mint<'a>,
    pub config: RecordMut<'a, Config>,
    pub config_bump: u8,
    pub treasury: TokenAccount<'a>,
    pub incentive: TokenAccount<'a>,
    pub stakers: TokenAccount<'a>,
    pub system: Fixed<'a>,
}
pub struct InitializeArguments {
    pub authority: Key,
    pub nodes: Key,
    pub nodes_config: Key,
    pub staking: Key,
    pub split: Split,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, mint, config, treasury, incentive, stakers, system] = input.accounts::<9>(0xe0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        authority: reader.pubkey()?,
        nodes: reader.pubkey()?,
        nodes_config: reader.pubkey()?,
        staking: reader.pubkey()?,
        split: Split { treasury: reader.u16()?, incentive: reader.u16()?, stakers: reader.u16()?, royalty: reader.u16()? },
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let mint = Mint::new(mint, false)?;
    let treasury = TokenAccount::new(treasury, false)?;
    let incentive = TokenAccount::new(incentive, false)?;
    let stakers = TokenAccount::new(stakers, false)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    require!(*treasury.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*incentive.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*stakers.mint() == *mint.key(), Error::WRONG_MINT);
    let (config, config_bump) = RecordMut::<Config>::create(config, &deployer, input.program, &[Seed::new(b"config")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, mint, config, config_bump, treasury, incentive, stakers, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Changes the split and where its parts go, for jobs opened and parts swept from now on.
pub struct SetParametersAccounts<'a> {
    pub authority: Signer<'a>,
    pub config: RecordMut<'a, Config>,
    pub treasury: TokenAccount<'a>,
    pub incentive: TokenAccount<'a>,
    pub stakers: TokenAccount<'a>,
}
pub struct SetParametersArguments {
    pub split: Split,
}
#[inline(never)]
fn set_parameters<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, config, treasury, incentive, stakers] = input.accounts::<5>(0x1c)?;
    let mut reader = Reader::new(data);
    let arguments = SetParametersArguments {
        split: Split { treasury: reader.u16()?, incentive: reader.u16()?, stakers: reader.u16()?, royalty: reader.u16()? },
    };
    reader.end()?;
    let authority = Signer::new(authority, false)?;
    let config = RecordMut::<Config>::new(config, input.program)?;
    let treasury = TokenAccount::new(treasury, false)?;
    let incentive = TokenAccount::new(incentive, false)?;
    let stakers = TokenAccount::new(stakers, false)?;
    require!(*authority.key() == config.authority, Error::WRONG_ADDRESS);
    require!(*treasury.mint() == config.mint, Error::WRONG_MINT);
    require!(*incentive.mint() == config.mint, Error::WRONG_MINT);
    require!(*stakers.mint() == config.mint, Error::WRONG_MINT);
    let mut accounts = SetParametersAccounts { authority, config, treasury, incentive, stakers };
    crate::set_parameters(&mut accounts, &arguments, input)
}

/// Makes a market; anyone may.
pub struct CreateMarketAccounts<'a> {
    pub authority: Signer<'a>,
    pub config: Record<'a, Config>,
    pub mint: Mint<'a>,
    pub market: RecordMut<'a, Market>,
    pub market_bump: u8,
    pub vault: TokenAccount<'a>,
    pub vault_bump: u8,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct CreateMarketArguments {
    pub id: u64,
    pub terms: Terms,
}
#[inline(never)]
fn create_market<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, config, mint, market, vault, token, system] = input.accounts::<7>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = CreateMarketArguments {
        id: reader.u64()?,
        terms: Terms { rate: reader.u64()?, fixed: reader.u64()?, least_weight: reader.u64()?, longest_seconds: reader.u32()?, queue_seconds: reader.u32()?, grace_seconds: reader.u32()?, dispute_seconds: reader.u32()?, fresh_seconds: reader.u32()?, least_score: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let authority = Signer::new(authority, true)?;
    let config = Record::<Config>::new(config, input.program)?;
    let mint = Mint::new(mint, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*mint.key() == config.mint, Error::WRONG_ADDRESS);
    let (market, market_bump) = RecordMut::<Market>::create(market, &authority, input.program, &[Seed::new(b"market"), Seed::new(authority.key().bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let (vault, vault_bump) = TokenAccount::create(vault, &authority, input.program, &mint, market.key(), &[Seed::new(b"vault"), Seed::new(market.key().bytes())])?;
    let mut accounts = CreateMarketAccounts { authority, config, mint, market, market_bump, vault, vault_bump, token, system };
    crate::create_market(&mut accounts, &arguments, input)
}

/// Changes a market's terms for jobs opened from now on.
pub struct SetMarketAccounts<'a> {
    pub authority: Signer<'a>,
    pub market: RecordMut<'a, Market>,
}
pub struct SetMarketArguments {
    pub terms: Terms,
}
#[inline(never)]
fn set_market<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, market] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SetMarketArguments {
        terms: Terms { rate: reader.u64()?, fixed: reader.u64()?, least_weight: reader.u64()?, longest_seconds: reader.u32()?, queue_seconds: reader.u32()?, grace_seconds: reader.u32()?, dispute_seconds: reader.u32()?, fresh_seconds: reader.u32()?, least_score: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let authority = Signer::new(authority, false)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    require!(*authority.key() == market.authority, Error::WRONG_ADDRESS);
    let mut accounts = SetMarketAccounts { authority, market };
    crate::set_market(&mut accounts, &arguments, input)
}

/// Makes the queue's page that the next places fall into, or the one after it.
pub struct OpenPageAccounts<'a> {
    pub payer: Signer<'a>,
    pub market: Record<'a, Market>,
    pub page: RecordMut<'a, Page>,
    pub page_bump: u8,
    pub system: Fixed<'a>,
}
pub struct OpenPageArguments {
    pub index: u64,
}
#[inline(never)]
fn open_page<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [payer, market, page, system] = input.accounts::<4>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = OpenPageArguments {
        index: reader.u64()?,
    };
    reader.end()?;
    let payer = Signer::new(payer, true)?;
    let market = Record::<Market>::new(market, input.program)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    let (page, page_bump) = RecordMut::<Page>::create(page, &payer, input.program, &[Seed::new(b"page"), Seed::new(market.key().bytes()), Seed::new(&arguments.index.to_le_bytes())])?;
    let mut accounts = OpenPageAccounts { payer, market, page, page_bump, system };
    crate::open_page(&mut accounts, &arguments, input)
}

/// Closes a page once it is full and every job has left it; its rent goes to who paid it.
pub struct RetirePageAccounts<'a> {
    pub market: Record<'a, Market>,
    pub page: RecordMut<'a, Page>,
    pub payer: Wallet<'a>,
}
#[inline(never)]
fn retire_page<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [market, page, payer] = input.accounts::<3>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let market = Record::<Market>::new(market, input.program)?;
    let page = RecordMut::<Page>::new(page, input.program)?;
    let payer = Wallet::new(payer, true)?;
    require!(*market.key() == page.market, Error::WRONG_ADDRESS);
    require!(*payer.key() == page.payer, Error::WRONG_ADDRESS);
    let mut accounts = RetirePageAccounts { market, page, payer };
    crate::retire_page(&mut accounts, input)
}

/// Opens a job: deposits what it can cost at most, and takes a place in the queue. `terms` are those the client agreed to; if the market has others now, nothing is done.
pub struct OpenAccounts<'a> {
    pub client: Signer<'a>,
    pub config: Record<'a, Config>,
    pub market: RecordMut<'a, Market>,
    pub page: RecordMut<'a, Page>,
    pub job: RecordMut<'a, Job>,
    pub job_bump: u8,
    pub source: TokenAccount<'a>,
    pub vault: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct OpenArguments {
    pub id: u64,
    pub seconds: u64,
    pub document: [u8; 32],
    pub author: Key,
    pub terms: Terms,
}
#[inline(never)]
fn open<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [client, config, market, page, job, source, vault, token, system] = input.accounts::<9>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = OpenArguments {
        id: reader.u64()?,
        seconds: reader.u64()?,
        document: reader.array()?,
        author: reader.pubkey()?,
        terms: Terms { rate: reader.u64()?, fixed: reader.u64()?, least_weight: reader.u64()?, longest_seconds: reader.u32()?, queue_seconds: reader.u32()?, grace_seconds: reader.u32()?, dispute_seconds: reader.u32()?, fresh_seconds: reader.u32()?, least_score: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let client = Signer::new(client, true)?;
    let config = Record::<Config>::new(config, input.program)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let page = RecordMut::<Page>::new(page, input.program)?;
    let source = TokenAccount::new(source, true)?;
    let vault = TokenAccount::new(vault, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*source.mint() == market.mint, Error::WRONG_MINT);
    require!(*source.holder() == *client.key(), Error::WRONG_HOLDER);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    let (job, job_bump) = RecordMut::<Job>::create(job, &client, input.program, &[Seed::new(b"job"), Seed::new(client.key().bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let mut accounts = OpenAccounts { client, config, market, page, job, job_bump, source, vault, token, system };
    crate::open(&mut accounts, &arguments, input)
}

/// Takes a queued job back: its client at any time, anyone after its time in the queue.
pub struct CancelAccounts<'a> {
    pub caller: Signer<'a>,
    pub market: RecordMut<'a, Market>,
    pub page: RecordMut<'a, Page>,
    pub job: RecordMut<'a, Job>,
    pub vault: TokenAccount<'a>,
    pub client_token: TokenAccount<'a>,
    pub client: Wallet<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn cancel<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [caller, market, page, job, vault, client_token, client, token] = input.accounts::<8>(0x40)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let caller = Signer::new(caller, false)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let page = RecordMut::<Page>::new(page, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let client_token = TokenAccount::new(client_token, true)?;
    let client = Wallet::new(client, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    require!(*client_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*client_token.holder() == job.client, Error::WRONG_HOLDER);
    require!(*client.key() == job.client, Error::WRONG_ADDRESS);
    let mut accounts = CancelAccounts { caller, market, page, job, vault, client_token, client, token };
    crate::cancel(&mut accounts, input)
}

/// Makes the count of running jobs of a stake.
pub struct OpenCapacityAccounts<'a> {
    pub payer: Signer<'a>,
    pub config: Record<'a, Config>,
    pub stake: Record<'a, staking::Stake>,
    pub capacity: RecordMut<'a, Capacity>,
    pub capacity_bump: u8,
    pub system: Fixed<'a>,
}
#[inline(never)]
fn open_capacity<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [payer, config, stake, capacity, system] = input.accounts::<5>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let payer = Signer::new(payer, true)?;
    let config = Record::<Config>::new(config, input.program)?;
    let stake = Record::<staking::Stake>::new(stake, &config.staking)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    let (capacity, capacity_bump) = RecordMut::<Capacity>::create(capacity, &payer, input.program, &[Seed::new(b"capacity"), Seed::new(stake.key().bytes())])?;
    let mut accounts = OpenCapacityAccounts { payer, config, stake, capacity, capacity_bump, system };
    crate::open_capacity(&mut accounts, input)
}

/// Assigns a queued job to the node that signs, if it may have it.
pub struct TakeAccounts<'a> {
    pub key: Signer<'a>,
    pub config: Record<'a, Config>,
    pub market: Record<'a, Market>,
    pub page: RecordMut<'a, Page>,
    pub job: RecordMut<'a, Job>,
    pub node: Record<'a, nodes::Node>,
    pub stake: Record<'a, staking::Stake>,
    pub capacity: RecordMut<'a, Capacity>,
}
#[inline(never)]
fn take<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [key, config, market, page, job, node, stake, capacity] = input.accounts::<8>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let key = Signer::new(key, false)?;
    let config = Record::<Config>::new(config, input.program)?;
    let market = Record::<Market>::new(market, input.program)?;
    let page = RecordMut::<Page>::new(page, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let node = Record::<nodes::Node>::new(node, &config.nodes)?;
    let stake = Record::<staking::Stake>::new(stake, &config.staking)?;
    let capacity = RecordMut::<Capacity>::new(capacity, input.program)?;
    require!(*key.key() == node.key, Error::WRONG_ADDRESS);
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*stake.key() == capacity.stake, Error::WRONG_ADDRESS);
    let mut accounts = TakeAccounts { key, config, market, page, job, node, stake, capacity };
    crate::take(&mut accounts, input)
}

/// The node gives a job back that it was not paid for yet; the job takes the next place in the queue, for the rest of its time there.
pub struct GiveBackAccounts<'a> {
    pub key: Signer<'a>,
    pub market: RecordMut<'a, Market>,
    pub page: RecordMut<'a, Page>,
    pub job: RecordMut<'a, Job>,
    pub capacity: RecordMut<'a, Capacity>,
}
#[inline(never)]
fn give_back<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [key, market, page, job, capacity] = input.accounts::<5>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let key = Signer::new(key, false)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let page = RecordMut::<Page>::new(page, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let capacity = RecordMut::<Capacity>::new(capacity, input.program)?;
    require!(*key.key() == job.node, Error::WRONG_ADDRESS);
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    let mut accounts = GiveBackAccounts { key, market, page, job, capacity };
    crate::give_back(&mut accounts, input)
}

/// The node says what it did and for how long.
pub struct SubmitAccounts<'a> {
    pub key: Signer<'a>,
    pub job: RecordMut<'a, Job>,
}
pub struct SubmitArguments {
    pub receipt: [u8; 32],
    pub seconds: u64,
}
#[inline(never)]
fn submit<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [key, job] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SubmitArguments {
        receipt: reader.array()?,
        seconds: reader.u64()?,
    };
    reader.end()?;
    let key = Signer::new(key, false)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    require!(*key.key() == job.node, Error::WRONG_ADDRESS);
    let mut accounts = SubmitAccounts { key, job };
    crate::submit(&mut accounts, &arguments, input)
}

/// Pays what a voucher of the client allows beyond earlier ones; the instruction before proves its signature.
pub struct RedeemAccounts<'a> {
    pub market: RecordMut<'a, Market>,
    pub job: RecordMut<'a, Job>,
    pub vault: TokenAccount<'a>,
    pub operator_token: TokenAccount<'a>,
    pub author_token: TokenAccount<'a>,
    pub instructions: Fixed<'a>,
    pub token: Fixed<'a>,
}
pub struct RedeemArguments {
    pub cumulative: u64,
}
#[inline(never)]
fn redeem<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [market, job, vault, operator_token, author_token, instructions, token] = input.accounts::<7>(0x10)?;
    let mut reader = Reader::new(data);
    let arguments = RedeemArguments {
        cumulative: reader.u64()?,
    };
    reader.end()?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let operator_token = TokenAccount::new(operator_token, true)?;
    let author_token = TokenAccount::new(author_token, true)?;
    let instructions = Fixed::new(instructions, &interface::key::INSTRUCTIONS_SYSVAR)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    require!(*operator_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*operator_token.holder() == job.operator, Error::WRONG_HOLDER);
    require!(*author_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*author_token.holder() == job.author, Error::WRONG_HOLDER);
    let mut accounts = RedeemAccounts { market, job, vault, operator_token, author_token, instructions, token };
    crate::redeem(&mut accounts, &arguments, input)
}

/// Pays a job: its client at once, anyone after the time to dispute, or after that to resolve a dispute.
pub struct SettleAccounts<'a> {
    pub caller: Signer<'a>,
    pub market: RecordMut<'a, Market>,
    pub job: RecordMut<'a, Job>,
    pub capacity: RecordMut<'a, Capacity>,
    pub vault: TokenAccount<'a>,
    pub operator_token: TokenAccount<'a>,
    pub author_token: TokenAccount<'a>,
    pub client_token: TokenAccount<'a>,
    pub client: Wallet<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn settle<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [caller, market, job, capacity, vault, operator_token, author_token, client_token, client, token] = input.accounts::<10>(0x1c0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let caller = Signer::new(caller, false)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let capacity = RecordMut::<Capacity>::new(capacity, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let operator_token = TokenAccount::new(operator_token, true)?;
    let author_token = TokenAccount::new(author_token, true)?;
    let client_token = TokenAccount::new(client_token, true)?;
    let client = Wallet::new(client, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    require!(*operator_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*operator_token.holder() == job.operator, Error::WRONG_HOLDER);
    require!(*author_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*author_token.holder() == job.author, Error::WRONG_HOLDER);
    require!(*client_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*client_token.holder() == job.client, Error::WRONG_HOLDER);
    require!(*client.key() == job.client, Error::WRONG_ADDRESS);
    let mut accounts = SettleAccounts { caller, market, job, capacity, vault, operator_token, author_token, client_token, client, token };
    crate::settle(&mut accounts, input)
}

/// Gives the escrow of an assigned job back; anyone may, after its time and grace.
pub struct RefundAccounts<'a> {
    pub market: RecordMut<'a, Market>,
    pub job: RecordMut<'a, Job>,
    pub capacity: RecordMut<'a, Capacity>,
    pub vault: TokenAccount<'a>,
    pub client_token: TokenAccount<'a>,
    pub client: Wallet<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn refund<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [market, job, capacity, vault, client_token, client, token] = input.accounts::<7>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let capacity = RecordMut::<Capacity>::new(capacity, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let client_token = TokenAccount::new(client_token, true)?;
    let client = Wallet::new(client, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    require!(*client_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*client_token.holder() == job.client, Error::WRONG_HOLDER);
    require!(*client.key() == job.client, Error::WRONG_ADDRESS);
    let mut accounts = RefundAccounts { market, job, capacity, vault, client_token, client, token };
    crate::refund(&mut accounts, input)
}

/// The client contests a result, with a bond.
pub struct DisputeAccounts<'a> {
    pub client: Signer<'a>,
    pub market: RecordMut<'a, Market>,
    pub job: RecordMut<'a, Job>,
    pub source: TokenAccount<'a>,
    pub vault: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
pub struct DisputeArguments {
    pub reason: [u8; 32],
}
#[inline(never)]
fn dispute<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [client, market, job, source, vault, token] = input.accounts::<6>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = DisputeArguments {
        reason: reader.array()?,
    };
    reader.end()?;
    let client = Signer::new(client, false)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let source = TokenAccount::new(source, true)?;
    let vault = TokenAccount::new(vault, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*client.key() == job.client, Error::WRONG_ADDRESS);
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*source.mint() == market.mint, Error::WRONG_MINT);
    require!(*source.holder() == *client.key(), Error::WRONG_HOLDER);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    let mut accounts = DisputeAccounts { client, market, job, source, vault, token };
    crate::dispute(&mut accounts, &arguments, input)
}

/// Verifiers decide a dispute.
pub struct ResolveAccounts<'a> {
    pub config: Record<'a, Config>,
    pub verifiers: Record<'a, nodes::Config>,
    pub market: RecordMut<'a, Market>,
    pub job: RecordMut<'a, Job>,
    pub capacity: RecordMut<'a, Capacity>,
    pub vault: TokenAccount<'a>,
    pub operator_token: TokenAccount<'a>,
    pub author_token: TokenAccount<'a>,
    pub client_token: TokenAccount<'a>,
    pub client: Wallet<'a>,
    pub token: Fixed<'a>,
}
impl ResolveAccounts<'_> {
    /// Accounts before those that may follow.
    pub const COUNT: usize = 11;
}
pub struct ResolveArguments {
    pub for_node: bool,
}
#[inline(never)]
fn resolve<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, verifiers, market, job, capacity, vault, operator_token, author_token, client_token, client, token] = input.leading::<11>(0x180)?;
    let mut reader = Reader::new(data);
    let arguments = ResolveArguments {
        for_node: reader.bool()?,
    };
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let verifiers = Record::<nodes::Config>::new(verifiers, &config.nodes)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let job = RecordMut::<Job>::new(job, input.program)?;
    let capacity = RecordMut::<Capacity>::new(capacity, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let operator_token = TokenAccount::new(operator_token, true)?;
    let author_token = TokenAccount::new(author_token, true)?;
    let client_token = TokenAccount::new(client_token, true)?;
    let client = Wallet::new(client, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*verifiers.key() == config.nodes_config, Error::WRONG_ADDRESS);
    require!(*market.key() == job.market, Error::WRONG_ADDRESS);
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    require!(*operator_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*operator_token.holder() == job.operator, Error::WRONG_HOLDER);
    require!(*author_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*author_token.holder() == job.author, Error::WRONG_HOLDER);
    require!(*client_token.mint() == market.mint, Error::WRONG_MINT);
    require!(*client_token.holder() == job.client, Error::WRONG_HOLDER);
    require!(*client.key() == job.client, Error::WRONG_ADDRESS);
    let mut accounts = ResolveAccounts { config, verifiers, market, job, capacity, vault, operator_token, author_token, client_token, client, token };
    crate::resolve(&mut accounts, &arguments, input)
}

/// Moves the parts of treasury, incentive pool and stakers on.
pub struct SweepAccounts<'a> {
    pub config: Record<'a, Config>,
    pub market: RecordMut<'a, Market>,
    pub vault: TokenAccount<'a>,
    pub treasury: TokenAccount<'a>,
    pub incentive: TokenAccount<'a>,
    pub stakers: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn sweep<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, market, vault, treasury, incentive, stakers, token] = input.accounts::<7>(0x30)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let market = RecordMut::<Market>::new(market, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let treasury = TokenAccount::new(treasury, true)?;
    let incentive = TokenAccount::new(incentive, true)?;
    let stakers = TokenAccount::new(stakers, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*vault.key() == market.vault, Error::WRONG_ADDRESS);
    require!(*treasury.key() == config.treasury, Error::WRONG_ADDRESS);
    require!(*incentive.key() == config.incentive, Error::WRONG_ADDRESS);
    require!(*stakers.key() == config.stakers, Error::WRONG_ADDRESS);
    let mut accounts = SweepAccounts { config, market, vault, treasury, incentive, stakers, token };
    crate::sweep(&mut accounts, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0x1c61edd04b2972da => set_parameters(input, data),
        0xfefbbcc8eb61e267 => create_market(input, data),
        0x51a3731cbb778518 => set_market(input, data),
        0xe9e31c81e79c6cec => open_page(input, data),
        0x18145f8179bcedd9 => retire_page(input, data),
        0x2d3cbdc7479bdce4 => open(input, data),
        0xbedcecdb29dfdbe8 => cancel(input, data),
        0x19a0d892e9ba3c62 => open_capacity(input, data),
        0x27e68e066834e295 => take(input, data),
        0xd8895e5924a80f7f => give_back(input, data),
        0x30aa7fa2b566a658 => submit(input, data),
        0xe161c44695560cb8 => redeem(input, data),
        0xd466839057b92aaf => settle(input, data),
        0x2e2ed03ffbb76002 => refund(input, data),
        0x498755ca92805cd8 => dispute(input, data),
        0xa3a3f6cceec96f6 => resolve(input, data),
        0xb19a3d0eafea1728 => sweep(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
