//! Calls to other programs.
use core::mem::MaybeUninit;

use crate::{Account, Error, Key, Result, syscalls};

/// Accounts a call may pass.
pub const MAX_CALL_ACCOUNTS: usize = 24;

/// How the called program is to see an account.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Meta {
    key: *const Key,
    is_writable: bool,
    is_signer: bool,
}

impl Meta {
    #[inline(always)]
    pub fn read(account: Account) -> Self {
        Self { key: account.key(), is_writable: false, is_signer: false }
    }

    #[inline(always)]
    pub fn write(account: Account) -> Self {
        Self { key: account.key(), is_writable: true, is_signer: false }
    }

    #[inline(always)]
    pub fn sign(account: Account) -> Self {
        Self { key: account.key(), is_writable: false, is_signer: true }
    }

    #[inline(always)]
    pub fn sign_and_write(account: Account) -> Self {
        Self { key: account.key(), is_writable: true, is_signer: true }
    }

    #[inline(always)]
    pub fn with(account: Account, is_signer: bool, is_writable: bool) -> Self {
        Self { key: account.key(), is_writable, is_signer }
    }
}

/// One seed of a program's address.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Seed<'a> {
    pointer: *const u8,
    length: u64,
    lifetime: core::marker::PhantomData<&'a u8>,
}

impl<'a> Seed<'a> {
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { pointer: bytes.as_ptr(), length: bytes.len() as u64, lifetime: core::marker::PhantomData }
    }
}

/// `SolAccountInfo` of the C interface.
#[derive(Clone, Copy)]
#[repr(C)]
struct Info {
    key: *const Key,
    lamports: *mut u64,
    length: u64,
    data: *mut u8,
    owner: *const Key,
    rent_epoch: u64,
    is_signer: bool,
    is_writable: bool,
    is_executable: bool,
}

#[repr(C)]
struct Instruction {
    program: *const Key,
    metas: *const Meta,
    meta_count: u64,
    data: *const u8,
    data_length: u64,
}

#[repr(C)]
struct Seeds {
    pointer: *const u8,
    count: u64,
}

syscalls! {
    fn sol_invoke_signed_c(
        instruction: *const Instruction,
        accounts: *const u8,
        account_count: u64,
        seeds: *const Seeds,
        seeds_count: u64,
    ) -> u64;
    fn sol_try_find_program_address(
        seeds: *const u8,
        count: u64,
        program: *const Key,
        address: *mut Key,
        bump: *mut u8,
    ) -> u64;
}

/// Call a program with `accounts`, which are those of `metas` in any order, signed for the address of `seeds` when there are any.
/// A call that fails ends the whole transaction; this returns an error only when it could not be made.
#[inline(always)]
pub fn invoke(program: &Key, metas: &[Meta], data: &[u8], accounts: &[Account], seeds: &[Seed]) -> Result {
    let count = accounts.len();
    if count > MAX_CALL_ACCOUNTS {
        return Err(Error::WRONG_ACCOUNT_COUNT);
    }
    let mut infos = [const { MaybeUninit::<Info>::uninit() }; MAX_CALL_ACCOUNTS];
    let mut index = 0;
    while index < count {
        let account = accounts[index];
        infos[index] = MaybeUninit::new(Info {
            key: account.key(),
            lamports: account.lamports(),
            length: account.len() as u64,
            data: account.data_pointer(),
            owner: account.owner(),
            rent_epoch: u64::MAX,
            is_signer: account.is_signer(),
            is_writable: account.is_writable(),
            is_executable: account.is_executable(),
        });
        index += 1;
    }
    let instruction = Instruction {
        program,
        metas: metas.as_ptr(),
        meta_count: metas.len() as u64,
        data: data.as_ptr(),
        data_length: data.len() as u64,
    };
    let signer = Seeds { pointer: seeds.as_ptr() as *const u8, count: seeds.len() as u64 };
    let status = unsafe {
        sol_invoke_signed_c(&instruction, infos.as_ptr() as *const u8, count as u64, &signer, !seeds.is_empty() as u64)
    };
    if status == 0 { Ok(()) } else { Err(Error::CALL_FAILED) }
}

/// The canonical address of these seeds and its bump; 1,500 compute units for each bump tried.
#[inline(always)]
pub fn find_address(seeds: &[Seed], program: &Key) -> Result<(Key, u8)> {
    let mut address = MaybeUninit::<Key>::uninit();
    let mut bump = MaybeUninit::<u8>::uninit();
    let status = unsafe {
        sol_try_find_program_address(
            seeds.as_ptr() as *const u8,
            seeds.len() as u64,
            program,
            address.as_mut_ptr(),
            bump.as_mut_ptr(),
        )
    };
    if status == 0 { Ok(unsafe { (address.assume_init(), bump.assume_init()) }) } else { Err(Error::WRONG_ADDRESS) }
}
