// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;


pub mod errors {
    use interface::Error;
    /// Nobody stakes; what came in waits for the next who does.
    pub const NOBODY_STAKES: Error = Error(6100);
    /// The stake has earned nothing since the last claim.
    pub const NOTHING_TO_CLAIM: Error = Error(6101);
}

/// `accumulator` is rewards per weight, times 10^12; `held` is what the vault holds that has been distributed and not claimed. `distributed` and `paid` are sums for the eye: they stop at the highest number, because tokens that go round would bring them there.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pool {
    discriminator: u64,
    pub mint: Key,
    pub vault: Key,
    pub staking: Key,
    pub staking_pool: Key,
    pub accumulator: U128,
    pub held: u64,
    pub distributed: u64,
    pub paid: u64,
    pub bump: u8,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Pool>() == 184);
const _: () = assert!(core::mem::align_of::<Pool>() <= 8);
unsafe impl Layout for Pool {
    const DISCRIMINATOR: u64 = 0xbc6db111046d9af1;
}

/// What was paid for a stake so far.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Claim {
    discriminator: u64,
    pub stake: Key,
    pub claimed: u64,
}
const _: () = assert!(core::mem::size_of::<Claim>() == 48);
const _: () = assert!(core::mem::align_of::<Claim>() <= 8);
unsafe impl Layout for Claim {
    const DISCRIMINATOR: u64 = 0x66f6d77bb016469b;
}

#[repr(C)]
pub struct Distributed {
    pub amount: u64,
    pub total_weight: u64,
    pub accumulator: U128,
}
impl Distributed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Distributed);
        let event = Event(0x86b6ca234e18d40a, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 40) });
    }
}

#[repr(C)]
pub struct Claimed {
    pub stake: Key,
    pub owner: Key,
    pub amount: u64,
}
impl Claimed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Claimed);
        let event = Event(0x21f8966c487bc0d9, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 80) });
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

/// Sets the program up; it takes no parameters, so it has no authority.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub mint: Mint<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub pool_bump: u8,
    pub vault: TokenAccount<'a>,
    pub vault_bump: u8,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct InitializeArguments {
    pub staking: Key,
    pub staking_pool: Key,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, mint, pool, vault, token, system] = input.accounts::<8>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        staking: reader.pubkey()?,
        staking_pool: reader.pubkey()?,
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let mint = Mint::new(mint, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    let (pool, pool_bump) = RecordMut::<Pool>::create(pool, &deployer, input.program, &[Seed::new(b"pool")])?;
    let (vault, vault_bump) = TokenAccount::create(vault, &deployer, input.program, &mint, pool.key(), &[Seed::new(b"vault")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, mint, pool, pool_bump, vault, vault_bump, token, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Gives what came into the vault to those who stake now; without any it waits.
pub struct DistributeAccounts<'a> {
    pub pool: RecordMut<'a, Pool>,
    pub vault: TokenAccount<'a>,
    pub staking_pool: Record<'a, staking::Pool>,
}
#[inline(never)]
fn distribute<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [pool, vault, staking_pool] = input.accounts::<3>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let vault = TokenAccount::new(vault, false)?;
    let staking_pool = Record::<staking::Pool>::new(staking_pool, &pool.staking)?;
    require!(*vault.key() == pool.vault, Error::WRONG_ADDRESS);
    require!(*staking_pool.key() == pool.staking_pool, Error::WRONG_ADDRESS);
    let mut accounts = DistributeAccounts { pool, vault, staking_pool };
    crate::distribute(&mut accounts, input)
}

/// Makes the record of what is paid for a stake.
pub struct RegisterAccounts<'a> {
    pub payer: Signer<'a>,
    pub pool: Record<'a, Pool>,
    pub stake: Record<'a, staking::Stake>,
    pub claim: RecordMut<'a, Claim>,
    pub claim_bump: u8,
    pub system: Fixed<'a>,
}
#[inline(never)]
fn register<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [payer, pool, stake, claim, system] = input.accounts::<5>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let payer = Signer::new(payer, true)?;
    let pool = Record::<Pool>::new(pool, input.program)?;
    let stake = Record::<staking::Stake>::new(stake, &pool.staking)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    let (claim, claim_bump) = RecordMut::<Claim>::create(claim, &payer, input.program, &[Seed::new(b"claim"), Seed::new(stake.key().bytes())])?;
    let mut accounts = RegisterAccounts { payer, pool, stake, claim, claim_bump, system };
    crate::register(&mut accounts, input)
}

/// Pays what a stake earned and was not paid yet, to its owner.
pub struct ClaimAccounts<'a> {
    pub pool: RecordMut<'a, Pool>,
    pub stake: Record<'a, staking::Stake>,
    pub claim: RecordMut<'a, Claim>,
    pub vault: TokenAccount<'a>,
    pub destination: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn claim<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [pool, stake, claim, vault, destination, token] = input.accounts::<6>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let stake = Record::<staking::Stake>::new(stake, &pool.staking)?;
    let claim = RecordMut::<Claim>::new(claim, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let destination = TokenAccount::new(destination, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*stake.key() == claim.stake, Error::WRONG_ADDRESS);
    require!(*vault.key() == pool.vault, Error::WRONG_ADDRESS);
    require!(*destination.mint() == pool.mint, Error::WRONG_MINT);
    require!(*destination.holder() == stake.owner, Error::WRONG_HOLDER);
    let mut accounts = ClaimAccounts { pool, stake, claim, vault, destination, token };
    crate::claim(&mut accounts, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0x3d7eeca4cfdf2cbf => distribute(input, data),
        0xf0b2c2d30f437cd3 => register(input, data),
        0xd26c9fd5c1d6c63e => claim(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
