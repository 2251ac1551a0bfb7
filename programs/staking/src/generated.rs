// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;

pub const SHORTEST_LOCK_DAYS: u64 = 14;
pub const LONGEST_LOCK_DAYS: u64 = 365;
pub const HIGHEST_SLASH_BPS: u64 = 5000;
pub const DAY_SECONDS: u64 = 86400;

pub mod errors {
    use interface::Error;
    /// Locks must be bounded within 14 to 365 days, the shorter first, and the least amount must be 1 to 1,000,000 HYPER.
    pub const BAD_PARAMETERS: Error = Error(6100);
    /// The lock has fewer or more days than allowed.
    pub const LOCK_OUT_OF_BOUNDS: Error = Error(6101);
    /// The stake would be less than the least amount.
    pub const TOO_LITTLE: Error = Error(6102);
    /// The stake is not active.
    pub const NOT_ACTIVE: Error = Error(6103);
    /// The stake still holds tokens; withdraw them first, or open another.
    pub const NOT_WITHDRAWN: Error = Error(6104);
    /// The stake has not been ended.
    pub const NOT_UNSTAKING: Error = Error(6105);
    /// The cooldown is not over yet.
    pub const STILL_COOLING: Error = Error(6106);
    /// The stake is under report; wait until the case ends.
    pub const FROZEN: Error = Error(6107);
    /// The stake is not under report.
    pub const NOT_FROZEN: Error = Error(6108);
    /// Rewards have come in; send rewards' distribute before this in the same transaction.
    pub const UNDISTRIBUTED: Error = Error(6109);
    /// The stake is under as many reports as can be counted.
    pub const TOO_MANY_REPORTS: Error = Error(6110);
    /// More than half of a stake cannot be slashed at once.
    pub const SLASH_TOO_HIGH: Error = Error(6111);
    /// The stake's cooldown is over; it could be reported until then.
    pub const REPORTED_TOO_LATE: Error = Error(6112);
}

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

#[repr(C)]
pub struct Staked {
    pub stake: Key,
    pub owner: Key,
    pub amount: u64,
    pub weight: u64,
    pub total_weight: u64,
}
impl Staked {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Staked);
        let event = Event(0xf0d53ae6cd2d920b, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 96) });
    }
}

#[repr(C)]
pub struct Slashed {
    pub stake: Key,
    pub amount: u64,
    pub left: u64,
}
impl Slashed {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Slashed);
        let event = Event(0xc26235e99af93b62, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 56) });
    }
}

/// What this program reads and calls of rewards.
pub mod rewards {
    use interface::*;
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

}

/// Sets the program up.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub mint: Mint<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub pool_bump: u8,
    pub vault: TokenAccount<'a>,
    pub vault_bump: u8,
    pub slashed: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct InitializeArguments {
    pub authority: Key,
    pub slasher: Key,
    pub rewards: Key,
    pub rewards_pool: Key,
    pub parameters: Parameters,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, mint, pool, vault, slashed, token, system] = input.accounts::<9>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        authority: reader.pubkey()?,
        slasher: reader.pubkey()?,
        rewards: reader.pubkey()?,
        rewards_pool: reader.pubkey()?,
        parameters: Parameters { least_amount: reader.u64()?, shortest_days: reader.u16()?, longest_days: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let mint = Mint::new(mint, false)?;
    let slashed = TokenAccount::new(slashed, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    require!(*slashed.mint() == *mint.key(), Error::WRONG_MINT);
    let (pool, pool_bump) = RecordMut::<Pool>::create(pool, &deployer, input.program, &[Seed::new(b"pool")])?;
    let (vault, vault_bump) = TokenAccount::create(vault, &deployer, input.program, &mint, pool.key(), &[Seed::new(b"vault")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, mint, pool, pool_bump, vault, vault_bump, slashed, token, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Changes the parameters for later stakes.
pub struct SetParametersAccounts<'a> {
    pub authority: Signer<'a>,
    pub pool: RecordMut<'a, Pool>,
}
pub struct SetParametersArguments {
    pub parameters: Parameters,
}
#[inline(never)]
fn set_parameters<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, pool] = input.accounts::<2>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SetParametersArguments {
        parameters: Parameters { least_amount: reader.u64()?, shortest_days: reader.u16()?, longest_days: reader.u16()?, padding: reader.array()? },
    };
    reader.end()?;
    let authority = Signer::new(authority, false)?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    require!(*authority.key() == pool.authority, Error::WRONG_ADDRESS);
    let mut accounts = SetParametersAccounts { authority, pool };
    crate::set_parameters(&mut accounts, &arguments, input)
}

/// Makes an owner's empty stake.
pub struct OpenAccounts<'a> {
    pub payer: Signer<'a>,
    pub stake: RecordMut<'a, Stake>,
    pub stake_bump: u8,
    pub system: Fixed<'a>,
}
pub struct OpenArguments {
    pub owner: Key,
    pub id: u64,
}
#[inline(never)]
fn open<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [payer, stake, system] = input.accounts::<3>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = OpenArguments {
        owner: reader.pubkey()?,
        id: reader.u64()?,
    };
    reader.end()?;
    let payer = Signer::new(payer, true)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    let (stake, stake_bump) = RecordMut::<Stake>::create(stake, &payer, input.program, &[Seed::new(b"stake"), Seed::new(arguments.owner.bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let mut accounts = OpenAccounts { payer, stake, stake_bump, system };
    crate::open(&mut accounts, &arguments, input)
}

/// Locks tokens for some days; rewards that have come in must have been distributed first.
pub struct StakeAccounts<'a> {
    pub owner: Signer<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
    pub source: TokenAccount<'a>,
    pub vault: TokenAccount<'a>,
    pub rewards_pool: Record<'a, rewards::Pool>,
    pub rewards_vault: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
pub struct StakeArguments {
    pub amount: u64,
    pub days: u16,
}
#[inline(never)]
fn stake<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, pool, stake, source, vault, rewards_pool, rewards_vault, token] = input.accounts::<8>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = StakeArguments {
        amount: reader.u64()?,
        days: reader.u16()?,
    };
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    let source = TokenAccount::new(source, true)?;
    let vault = TokenAccount::new(vault, true)?;
    let rewards_pool = Record::<rewards::Pool>::new(rewards_pool, &pool.rewards)?;
    let rewards_vault = TokenAccount::new(rewards_vault, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*owner.key() == stake.owner, Error::WRONG_ADDRESS);
    require!(*source.mint() == pool.mint, Error::WRONG_MINT);
    require!(*source.holder() == *owner.key(), Error::WRONG_HOLDER);
    require!(*vault.key() == pool.vault, Error::WRONG_ADDRESS);
    require!(*rewards_pool.key() == pool.rewards_pool, Error::WRONG_ADDRESS);
    require!(*rewards_vault.key() == rewards_pool.vault, Error::WRONG_ADDRESS);
    let mut accounts = StakeAccounts { owner, pool, stake, source, vault, rewards_pool, rewards_vault, token };
    crate::stake(&mut accounts, &arguments, input)
}

/// Adds tokens to an active stake, for the same lock.
pub struct AddAccounts<'a> {
    pub owner: Signer<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
    pub source: TokenAccount<'a>,
    pub vault: TokenAccount<'a>,
    pub rewards_pool: Record<'a, rewards::Pool>,
    pub rewards_vault: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
pub struct AddArguments {
    pub amount: u64,
}
#[inline(never)]
fn add<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, pool, stake, source, vault, rewards_pool, rewards_vault, token] = input.accounts::<8>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = AddArguments {
        amount: reader.u64()?,
    };
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    let source = TokenAccount::new(source, true)?;
    let vault = TokenAccount::new(vault, true)?;
    let rewards_pool = Record::<rewards::Pool>::new(rewards_pool, &pool.rewards)?;
    let rewards_vault = TokenAccount::new(rewards_vault, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*owner.key() == stake.owner, Error::WRONG_ADDRESS);
    require!(*source.mint() == pool.mint, Error::WRONG_MINT);
    require!(*source.holder() == *owner.key(), Error::WRONG_HOLDER);
    require!(*vault.key() == pool.vault, Error::WRONG_ADDRESS);
    require!(*rewards_pool.key() == pool.rewards_pool, Error::WRONG_ADDRESS);
    require!(*rewards_vault.key() == rewards_pool.vault, Error::WRONG_ADDRESS);
    let mut accounts = AddAccounts { owner, pool, stake, source, vault, rewards_pool, rewards_vault, token };
    crate::add(&mut accounts, &arguments, input)
}

/// Ends a stake, also one under report: its weight is 0 at once, its tokens are free after a cooldown as long as the lock and once no report is open.
pub struct UnstakeAccounts<'a> {
    pub owner: Signer<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
    pub rewards_pool: Record<'a, rewards::Pool>,
}
#[inline(never)]
fn unstake<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, pool, stake, rewards_pool] = input.accounts::<4>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    let rewards_pool = Record::<rewards::Pool>::new(rewards_pool, &pool.rewards)?;
    require!(*owner.key() == stake.owner, Error::WRONG_ADDRESS);
    require!(*rewards_pool.key() == pool.rewards_pool, Error::WRONG_ADDRESS);
    let mut accounts = UnstakeAccounts { owner, pool, stake, rewards_pool };
    crate::unstake(&mut accounts, input)
}

/// Gives the tokens of an ended stake back after its cooldown.
pub struct WithdrawAccounts<'a> {
    pub owner: Signer<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
    pub vault: TokenAccount<'a>,
    pub destination: TokenAccount<'a>,
    pub token: Fixed<'a>,
}
#[inline(never)]
fn withdraw<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [owner, pool, stake, vault, destination, token] = input.accounts::<6>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let owner = Signer::new(owner, false)?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let destination = TokenAccount::new(destination, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*owner.key() == stake.owner, Error::WRONG_ADDRESS);
    require!(*vault.key() == pool.vault, Error::WRONG_ADDRESS);
    require!(*destination.mint() == pool.mint, Error::WRONG_MINT);
    require!(*destination.holder() == *owner.key(), Error::WRONG_HOLDER);
    let mut accounts = WithdrawAccounts { owner, pool, stake, vault, destination, token };
    crate::withdraw(&mut accounts, input)
}

/// A report was made: the stake stays where it is until the report ends. A stake whose cooldown is over cannot be reported any more.
pub struct FreezeAccounts<'a> {
    pub slasher: Signer<'a>,
    pub pool: Record<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
}
#[inline(never)]
fn freeze<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [slasher, pool, stake] = input.accounts::<3>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let slasher = Signer::new(slasher, false)?;
    let pool = Record::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    require!(*slasher.key() == pool.slasher, Error::WRONG_ADDRESS);
    let mut accounts = FreezeAccounts { slasher, pool, stake };
    crate::freeze(&mut accounts, input)
}

/// A report ended without a finding.
pub struct ReleaseAccounts<'a> {
    pub slasher: Signer<'a>,
    pub pool: Record<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
}
#[inline(never)]
fn release<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [slasher, pool, stake] = input.accounts::<3>(0x0)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let slasher = Signer::new(slasher, false)?;
    let pool = Record::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    require!(*slasher.key() == pool.slasher, Error::WRONG_ADDRESS);
    let mut accounts = ReleaseAccounts { slasher, pool, stake };
    crate::release(&mut accounts, input)
}

/// A report ended with a finding: a part of the stake leaves, and the report is over.
pub struct SlashAccounts<'a> {
    pub slasher: Signer<'a>,
    pub pool: RecordMut<'a, Pool>,
    pub stake: RecordMut<'a, Stake>,
    pub vault: TokenAccount<'a>,
    pub slashed: TokenAccount<'a>,
    pub rewards_pool: Record<'a, rewards::Pool>,
    pub token: Fixed<'a>,
}
pub struct SlashArguments {
    pub bps: u16,
}
#[inline(never)]
fn slash<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [slasher, pool, stake, vault, slashed, rewards_pool, token] = input.accounts::<7>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = SlashArguments {
        bps: reader.u16()?,
    };
    reader.end()?;
    let slasher = Signer::new(slasher, false)?;
    let pool = RecordMut::<Pool>::new(pool, input.program)?;
    let stake = RecordMut::<Stake>::new(stake, input.program)?;
    let vault = TokenAccount::new(vault, true)?;
    let slashed = TokenAccount::new(slashed, true)?;
    let rewards_pool = Record::<rewards::Pool>::new(rewards_pool, &pool.rewards)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    require!(*slasher.key() == pool.slasher, Error::WRONG_ADDRESS);
    require!(*vault.key() == pool.vault, Error::WRONG_ADDRESS);
    require!(*slashed.key() == pool.slashed, Error::WRONG_ADDRESS);
    require!(*rewards_pool.key() == pool.rewards_pool, Error::WRONG_ADDRESS);
    let mut accounts = SlashAccounts { slasher, pool, stake, vault, slashed, rewards_pool, token };
    crate::slash(&mut accounts, &arguments, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0x1c61edd04b2972da => set_parameters(input, data),
        0x2d3cbdc7479bdce4 => open(input, data),
        0x6cb3d1c812cab0ce => stake(input, data),
        0xb5386fc592f9f929 => add(input, data),
        0xe1327ccd2a6b5f5a => unstake(input, data),
        0x22a16d949c4612b7 => withdraw(input, data),
        0x3ffec2fb54cf5bff => freeze(input, data),
        0xf1c17f1cce0ff9fd => release(input, data),
        0x8e5cb108a1128dcc => slash(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
