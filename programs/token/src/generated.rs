// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;

pub const SUPPLY: u64 = 1000000000000000;
pub const LOCKED: u64 = 84603487000000;
pub const FIRST_UNLOCK: u64 = 6768279000000;
pub const LATER_UNLOCK: u64 = 7075928000000;
pub const CYCLES: u64 = 12;
pub const CYCLE_SECONDS: u64 = 2592000;
pub const BURN_BPS: u64 = 2000;
pub const STAKERS_BPS: u64 = 3000;

pub mod errors {
    use interface::Error;
    /// The mint must have 6 decimals, a supply of exactly 1,000,000,000 HYPER, and no authorities.
    pub const NOT_THAT_MINT: Error = Error(6100);
    /// This cycle is not due yet, or has been unlocked.
    pub const NOT_DUE: Error = Error(6101);
    /// All cycles have been unlocked.
    pub const NOTHING_LEFT: Error = Error(6102);
    /// There is nothing to burn.
    pub const NOTHING_TO_BURN: Error = Error(6103);
}

/// What is locked, and where unlocked tokens go.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Vesting {
    discriminator: u64,
    pub authority: Key,
    pub mint: Key,
    pub vault: Key,
    pub collection: Key,
    pub stakers: Key,
    pub operations: Key,
    pub start: i64,
    pub cycles: u64,
    pub left: u64,
    pub bump: u8,
    pub padding: [u8; 7],
}
const _: () = assert!(core::mem::size_of::<Vesting>() == 232);
const _: () = assert!(core::mem::align_of::<Vesting>() <= 8);
unsafe impl Layout for Vesting {
    const DISCRIMINATOR: u64 = 0xf180c85f8a429564;
}

/// The sum of all burns.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct BurnLedger {
    discriminator: u64,
    pub count: u64,
    pub cumulative: u64,
}
const _: () = assert!(core::mem::size_of::<BurnLedger>() == 24);
const _: () = assert!(core::mem::align_of::<BurnLedger>() <= 8);
unsafe impl Layout for BurnLedger {
    const DISCRIMINATOR: u64 = 0xf3acae7a00e399ee;
}

/// One burn, for ever: its number, which cycle, how much, how much in all, and why. Its address has no number, so that burns sent at once do not stop each other.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Burn {
    discriminator: u64,
    pub index: u64,
    pub cycle: u64,
    pub amount: u64,
    pub cumulative: u64,
    pub reference: [u8; 32],
    pub time: i64,
}
const _: () = assert!(core::mem::size_of::<Burn>() == 80);
const _: () = assert!(core::mem::align_of::<Burn>() <= 8);
unsafe impl Layout for Burn {
    const DISCRIMINATOR: u64 = 0xa38d8c9ff0ef8518;
}

#[repr(C)]
pub struct Unlocked {
    pub cycle: u64,
    pub amount: u64,
    pub burned: u64,
    pub stakers: u64,
    pub operations: u64,
}
impl Unlocked {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Unlocked);
        let event = Event(0x78b65cae7b4a68db, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 48) });
    }
}

#[repr(C)]
pub struct Burned {
    pub index: u64,
    pub cycle: u64,
    pub amount: u64,
    pub cumulative: u64,
    pub reference: [u8; 32],
}
impl Burned {
    /// Log the event.
    #[inline(always)]
    pub fn emit(self) {
        #[repr(C)]
        struct Event(u64, Burned);
        let event = Event(0x430ee5ef9afb25cf, self);
        let bytes = &event as *const Event as *const u8;
        interface::emit(unsafe { core::slice::from_raw_parts(bytes, 72) });
    }
}

/// Sets the program up and locks the vesting tokens. The mint must be final: no mint and no freeze authority.
pub struct InitializeAccounts<'a> {
    pub deployer: Signer<'a>,
    pub this: Unchecked<'a>,
    pub program_data: Unchecked<'a>,
    pub mint: Mint<'a>,
    pub vesting: RecordMut<'a, Vesting>,
    pub vesting_bump: u8,
    pub ledger: RecordMut<'a, BurnLedger>,
    pub ledger_bump: u8,
    pub vault: TokenAccount<'a>,
    pub vault_bump: u8,
    pub collection: TokenAccount<'a>,
    pub collection_bump: u8,
    pub source: TokenAccount<'a>,
    pub stakers: TokenAccount<'a>,
    pub operations: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct InitializeArguments {
    pub authority: Key,
    pub start: i64,
}
#[inline(never)]
fn initialize<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [deployer, this, program_data, mint, vesting, ledger, vault, collection, source, stakers, operations, token, system] = input.accounts::<13>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = InitializeArguments {
        authority: reader.pubkey()?,
        start: reader.i64()?,
    };
    reader.end()?;
    let deployer = Signer::new(deployer, true)?;
    let this = Unchecked::new(this);
    let program_data = Unchecked::new(program_data);
    let mint = Mint::new(mint, false)?;
    let source = TokenAccount::new(source, true)?;
    let stakers = TokenAccount::new(stakers, false)?;
    let operations = TokenAccount::new(operations, false)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    interface::upgrade::require_authority(&deployer, this.account(), program_data.account(), input.program)?;
    require!(*source.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*source.holder() == *deployer.key(), Error::WRONG_HOLDER);
    require!(*stakers.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*operations.mint() == *mint.key(), Error::WRONG_MINT);
    let (vesting, vesting_bump) = RecordMut::<Vesting>::create(vesting, &deployer, input.program, &[Seed::new(b"vesting")])?;
    let (ledger, ledger_bump) = RecordMut::<BurnLedger>::create(ledger, &deployer, input.program, &[Seed::new(b"burns")])?;
    let (vault, vault_bump) = TokenAccount::create(vault, &deployer, input.program, &mint, vesting.key(), &[Seed::new(b"vault")])?;
    let (collection, collection_bump) = TokenAccount::create(collection, &deployer, input.program, &mint, vesting.key(), &[Seed::new(b"collection")])?;
    let mut accounts = InitializeAccounts { deployer, this, program_data, mint, vesting, vesting_bump, ledger, ledger_bump, vault, vault_bump, collection, collection_bump, source, stakers, operations, token, system };
    crate::initialize(&mut accounts, &arguments, input)
}

/// Changes where the staking and operations parts of later unlocks go.
pub struct SetDestinationsAccounts<'a> {
    pub authority: Signer<'a>,
    pub vesting: RecordMut<'a, Vesting>,
    pub mint: Mint<'a>,
    pub stakers: TokenAccount<'a>,
    pub operations: TokenAccount<'a>,
}
#[inline(never)]
fn set_destinations<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [authority, vesting, mint, stakers, operations] = input.accounts::<5>(0x18)?;
    let mut reader = Reader::new(data);
    reader.end()?;
    let authority = Signer::new(authority, false)?;
    let vesting = RecordMut::<Vesting>::new(vesting, input.program)?;
    let mint = Mint::new(mint, false)?;
    let stakers = TokenAccount::new(stakers, false)?;
    let operations = TokenAccount::new(operations, false)?;
    require!(*authority.key() == vesting.authority, Error::WRONG_ADDRESS);
    require!(*mint.key() == vesting.mint, Error::WRONG_ADDRESS);
    require!(*stakers.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*operations.mint() == *mint.key(), Error::WRONG_MINT);
    let mut accounts = SetDestinationsAccounts { authority, vesting, mint, stakers, operations };
    crate::set_destinations(&mut accounts, input)
}

/// Unlocks the next due cycle: a fifth is burned, three tenths go to stakers, the remainder to operations.
pub struct UnlockAccounts<'a> {
    pub payer: Signer<'a>,
    pub vesting: RecordMut<'a, Vesting>,
    pub ledger: RecordMut<'a, BurnLedger>,
    pub burn: RecordMut<'a, Burn>,
    pub burn_bump: u8,
    pub mint: Mint<'a>,
    pub vault: TokenAccount<'a>,
    pub stakers: TokenAccount<'a>,
    pub operations: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct UnlockArguments {
    pub cycle: u64,
}
#[inline(never)]
fn unlock<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [payer, vesting, ledger, burn, mint, vault, stakers, operations, token, system] = input.accounts::<10>(0x80)?;
    let mut reader = Reader::new(data);
    let arguments = UnlockArguments {
        cycle: reader.u64()?,
    };
    reader.end()?;
    let payer = Signer::new(payer, true)?;
    let vesting = RecordMut::<Vesting>::new(vesting, input.program)?;
    let ledger = RecordMut::<BurnLedger>::new(ledger, input.program)?;
    let mint = Mint::new(mint, true)?;
    let vault = TokenAccount::new(vault, true)?;
    let stakers = TokenAccount::new(stakers, true)?;
    let operations = TokenAccount::new(operations, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*mint.key() == vesting.mint, Error::WRONG_ADDRESS);
    require!(*vault.key() == vesting.vault, Error::WRONG_ADDRESS);
    require!(*stakers.key() == vesting.stakers, Error::WRONG_ADDRESS);
    require!(*operations.key() == vesting.operations, Error::WRONG_ADDRESS);
    let (burn, burn_bump) = RecordMut::<Burn>::create(burn, &payer, input.program, &[Seed::new(b"unlock"), Seed::new(&arguments.cycle.to_le_bytes())])?;
    let mut accounts = UnlockAccounts { payer, vesting, ledger, burn, burn_bump, mint, vault, stakers, operations, token, system };
    crate::unlock(&mut accounts, &arguments, input)
}

/// Burns the holder's own tokens and records it, under an id of the holder's choice.
pub struct BurnTokensAccounts<'a> {
    pub holder: Signer<'a>,
    pub vesting: Record<'a, Vesting>,
    pub ledger: RecordMut<'a, BurnLedger>,
    pub burn: RecordMut<'a, Burn>,
    pub burn_bump: u8,
    pub mint: Mint<'a>,
    pub source: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct BurnTokensArguments {
    pub id: u64,
    pub amount: u64,
    pub reference: [u8; 32],
}
#[inline(never)]
fn burn_tokens<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [holder, vesting, ledger, burn, mint, source, token, system] = input.accounts::<8>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = BurnTokensArguments {
        id: reader.u64()?,
        amount: reader.u64()?,
        reference: reader.array()?,
    };
    reader.end()?;
    let holder = Signer::new(holder, true)?;
    let vesting = Record::<Vesting>::new(vesting, input.program)?;
    let ledger = RecordMut::<BurnLedger>::new(ledger, input.program)?;
    let mint = Mint::new(mint, true)?;
    let source = TokenAccount::new(source, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*mint.key() == vesting.mint, Error::WRONG_ADDRESS);
    require!(*source.mint() == *mint.key(), Error::WRONG_MINT);
    require!(*source.holder() == *holder.key(), Error::WRONG_HOLDER);
    let (burn, burn_bump) = RecordMut::<Burn>::create(burn, &holder, input.program, &[Seed::new(b"burn"), Seed::new(holder.key().bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let mut accounts = BurnTokensAccounts { holder, vesting, ledger, burn, burn_bump, mint, source, token, system };
    crate::burn_tokens(&mut accounts, &arguments, input)
}

/// Burns what others sent to be burned, and records it, under an id of the payer's choice.
pub struct BurnCollectionAccounts<'a> {
    pub payer: Signer<'a>,
    pub vesting: Record<'a, Vesting>,
    pub ledger: RecordMut<'a, BurnLedger>,
    pub burn: RecordMut<'a, Burn>,
    pub burn_bump: u8,
    pub mint: Mint<'a>,
    pub collection: TokenAccount<'a>,
    pub token: Fixed<'a>,
    pub system: Fixed<'a>,
}
pub struct BurnCollectionArguments {
    pub id: u64,
}
#[inline(never)]
fn burn_collection<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [payer, vesting, ledger, burn, mint, collection, token, system] = input.accounts::<8>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = BurnCollectionArguments {
        id: reader.u64()?,
    };
    reader.end()?;
    let payer = Signer::new(payer, true)?;
    let vesting = Record::<Vesting>::new(vesting, input.program)?;
    let ledger = RecordMut::<BurnLedger>::new(ledger, input.program)?;
    let mint = Mint::new(mint, true)?;
    let collection = TokenAccount::new(collection, true)?;
    let token = Fixed::new(token, &interface::key::TOKEN_PROGRAM)?;
    let system = Fixed::new(system, &interface::key::SYSTEM_PROGRAM)?;
    require!(*mint.key() == vesting.mint, Error::WRONG_ADDRESS);
    require!(*collection.key() == vesting.collection, Error::WRONG_ADDRESS);
    let (burn, burn_bump) = RecordMut::<Burn>::create(burn, &payer, input.program, &[Seed::new(b"collection"), Seed::new(payer.key().bytes()), Seed::new(&arguments.id.to_le_bytes())])?;
    let mut accounts = BurnCollectionAccounts { payer, vesting, ledger, burn, burn_bump, mint, collection, token, system };
    crate::burn_collection(&mut accounts, &arguments, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0xed9b980d1f6dafaf => initialize(input, data),
        0xc2b0a14ced29e6df => set_destinations(input, data),
        0xcb38bd9e15289b65 => unlock(input, data),
        0x4279d7e5fe330f4c => burn_tokens(input, data),
        0x1a568df6a91ab2e5 => burn_collection(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
