// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;

pub const MOST_VERIFIERS: u64 = 16;
pub const NEW_SCORE: u64 = 500;
pub const BEST_SCORE: u64 = 1000;

pub mod errors {
    use interface::Error;
    /// Verifiers must be 1 to 16 different keys, and the threshold more than half of them.
    pub const BAD_VERIFIERS: Error = Error(6100);
    /// Fewer different verifiers signed than the threshold.
    pub const NOT_ENOUGH_VERIFIERS: Error = Error(6101);
    /// The checkpoint's sequence must be higher than the last.
    pub const OLD_CHECKPOINT: Error = Error(6102);
    /// A score is 0 to 1000.
    pub const SCORE_TOO_HIGH: Error = Error(6103);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct NodeState(pub u8);
impl NodeState {
    pub const ACTIVE: Self = Self(0);
    pub const RETIRED: Self = Self(1);
}

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

#[repr(C)]
pub struct Registered {
    pub key: Key,
    pub owner: Key,
    pub capability: [u8; 32],
}
impl Registered {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Registered);
        let event = Event(0xe3a56ea0480ade0b, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 104) });
    }
}

#[repr(C)]
pub struct Rated {
    pub key: Key,
    pub score: u16,
    pub cause: u16,
    pub tier: Tier,
}
impl Rated {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Rated);
        let event = Event(0xacd5c3c99c4fd84a, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 45) });
    }
}

/// Sets the program up with its first verifiers.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub config: RecordMut<'a, Config>,
    pub config_bump: u8,
    pub system: Fixed<'a>,
}
impl InitializeAccounts<'_> {
    /// Accounts before those that may follow.
    pub const COUNT: usize = 5;
}
pub struct InitializeArguments {
    pub authority: Key,
    pub threshold: u8,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, config, system] = input.leading::<5>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        authority: reader.pubkey()?,
        threshold: reader.u8()?,
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    let (config, config_bump) = RecordMut::<Config>::create(config, &deployer, input.program, &[Seed::new(b"config")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, config, config_bump, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Replaces the verifiers.
pub struct SetVerifiersAccounts<'a> {
    pub authority: Signer<'a>,
    pub config: RecordMut<'a, Config>,
}
impl SetVerifiersAccounts<'_> {
    /// Accounts before those that may follow.
    pub const COUNT: usize = 2;
}
pub struct SetVerifiersArguments {
    pub threshold: u8,
}
#[inline(never)]
fn set_verifiers<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, config] = input.leading::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SetVerifiersArguments {
        threshold: reader.u8()?,
    };
    reader.end()?;
    let authority = Signer::new(authority, false)?;
    let config = RecordMut::<Config>::new(config, input.program)?;
    require!(*authority.key() == config.authority, Error::WRONG_ADDRESS);
    let mut accounts = SetVerifiersAccounts { authority, config };
    crate::set_verifiers(&mut accounts, &arguments, input)
}

/// Registers a node: its owner and its own key both sign.
pub struct RegisterAccounts<'a> {
    pub owner: Signer<'a>,
    pub key: Signer<'a>,
    pub node: RecordMut<'a, Node>,
    pub node_bump: u8,
    pub system: Fixed<'a>,
}
pub struct RegisterArguments {
    pub capability: [u8; 32],
}
#[inline(never)]
fn register<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, key, node, system] = input.accounts::<4>(0x2)?;
    let mut reader = Reader::new(data);
    let arguments = RegisterArguments {
        capability: reader.array()?,
    };
    reader.end()?;
    let owner = Signer::new(owner, true)?;
    let key = Signer::new(key, false)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    let (node, node_bump) = RecordMut::<Node>::create(node, &owner, input.program, &[Seed::new(b"node"), Seed::new(key.key().bytes())])?;
    let mut accounts = RegisterAccounts { owner, key, node, node_bump, system };
    crate::register(&mut accounts, &arguments, input)
}

/// Changes what the node says it can do.
pub struct DescribeAccounts<'a> {
    pub owner: Signer<'a>,
    pub node: RecordMut<'a, Node>,
}
pub struct DescribeArguments {
    pub capability: [u8; 32],
}
#[inline(never)]
fn describe<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, node] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = DescribeArguments {
        capability: reader.array()?,
    };
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let node = RecordMut::<Node>::new(node, input.program)?;
    require!(*owner.key() == node.owner, Error::WRONG_ADDRESS);
    let mut accounts = DescribeAccounts { owner, node };
    crate::describe(&mut accounts, &arguments, input)
}

/// A sign of life by the node itself.
pub struct CheckpointAccounts<'a> {
    pub key: Signer<'a>,
    pub node: RecordMut<'a, Node>,
}
pub struct CheckpointArguments {
    pub sequence: u64,
    pub checkpoint: [u8; 32],
}
#[inline(never)]
fn checkpoint<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [key, node] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = CheckpointArguments {
        sequence: reader.u64()?,
        checkpoint: reader.array()?,
    };
    reader.end()?;
    let key = Signer::new(key, false)?;
    let node = RecordMut::<Node>::new(node, input.program)?;
    require!(*key.key() == node.key, Error::WRONG_ADDRESS);
    let mut accounts = CheckpointAccounts { key, node };
    crate::checkpoint(&mut accounts, &arguments, input)
}

/// Writes a node's score and its cause; enough verifiers sign.
pub struct RecordReputationAccounts<'a> {
    pub config: Record<'a, Config>,
    pub node: RecordMut<'a, Node>,
}
impl RecordReputationAccounts<'_> {
    /// Accounts before those that may follow.
    pub const COUNT: usize = 2;
}
pub struct RecordReputationArguments {
    pub score: u16,
    pub cause: u16,
}
#[inline(never)]
fn record_reputation<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [config, node] = input.leading::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = RecordReputationArguments {
        score: reader.u16()?,
        cause: reader.u16()?,
    };
    reader.end()?;
    let config = Record::<Config>::new(config, input.program)?;
    let node = RecordMut::<Node>::new(node, input.program)?;
    let mut accounts = RecordReputationAccounts { config, node };
    crate::record_reputation(&mut accounts, &arguments, input)
}

/// The node takes no more jobs.
pub struct RetireAccounts<'a> {
    pub owner: Signer<'a>,
    pub node: RecordMut<'a, Node>,
}
#[inline(never)]
fn retire<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, node] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let node = RecordMut::<Node>::new(node, input.program)?;
    require!(*owner.key() == node.owner, Error::WRONG_ADDRESS);
    let mut accounts = RetireAccounts { owner, node };
    crate::retire(&mut accounts, input)
}

/// The node takes jobs again.
pub struct ResumeAccounts<'a> {
    pub owner: Signer<'a>,
    pub node: RecordMut<'a, Node>,
}
#[inline(never)]
fn resume<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, node] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let node = RecordMut::<Node>::new(node, input.program)?;
    require!(*owner.key() == node.owner, Error::WRONG_ADDRESS);
    let mut accounts = ResumeAccounts { owner, node };
    crate::resume(&mut accounts, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0x7fbf92f0fbc95471 => set_verifiers(input, data),
        0xf0b2c2d30f437cd3 => register(input, data),
        0xe845c5bc7e942ce6 => describe(input, data),
        0xfcb88ff0cc13c8d5 => checkpoint(input, data),
        0x62764d31e6282ed5 => record_reputation(input, data),
        0x101535de1f998a2c => retire(input, data),
        0xce8d207faa33a601 => resume(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
