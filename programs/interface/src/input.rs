//! The buffer in which the loader passes accounts, data and the program's id.
//!
//! Layout (loader v2 and v3, aligned): number of accounts; for each account either one byte that names an earlier one and 7 of
//! padding, or 0xff, three flags, padding, key, owner, lamports, length, data, 10,240 bytes to grow into, padding to 8, rent
//! epoch; then length and bytes of the data, then the program's id.
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use crate::{Account, Error, Key, Result};

/// Accounts an instruction may be given; more than any instruction here takes.
pub const MAX_ACCOUNTS: usize = 40;

const FIRST: u8 = 0xff;
const GROWTH: usize = 10_240;

/// One call of a program.
pub struct Input<'a> {
    accounts: [MaybeUninit<Account<'a>>; MAX_ACCOUNTS],
    count: usize,
    /// Bit i is set when account i is an earlier one again.
    repeats: u64,
    data: &'a [u8],
    pub program: &'a Key,
    lifetime: PhantomData<&'a mut u8>,
}

impl<'a> Input<'a> {
    /// # Safety
    /// `at` is the pointer that the loader passed to the entry point, and this is the only call with it.
    #[inline(always)]
    pub unsafe fn parse(mut at: *mut u8) -> Result<Self> {
        unsafe {
            let count = *(at as *const u64) as usize;
            if count > MAX_ACCOUNTS {
                return Err(Error::WRONG_ACCOUNT_COUNT);
            }
            let mut accounts = [const { MaybeUninit::uninit() }; MAX_ACCOUNTS];
            let mut repeats = 0;
            at = at.add(8);
            let mut index = 0;
            while index < count {
                let marker = *at;
                if marker == FIRST {
                    accounts[index] = MaybeUninit::new(Account::at(at));
                    let length = *(at.add(80) as *const u64) as usize;
                    at = ((at.add(88 + length + GROWTH) as usize + 7) & !7) as *mut u8;
                } else {
                    accounts[index] = accounts[marker as usize];
                    repeats |= 1 << index;
                }
                at = at.add(8);
                index += 1;
            }
            let length = *(at as *const u64) as usize;
            let data = core::slice::from_raw_parts(at.add(8), length);
            let program = &*(at.add(8 + length) as *const Key);
            Ok(Self { accounts, count, repeats, data, program, lifetime: PhantomData })
        }
    }

    /// The instruction's discriminator, and what follows it.
    #[inline(always)]
    pub fn instruction(&self) -> Result<(u64, &'a [u8])> {
        match self.data.split_first_chunk::<8>() {
            Some((discriminator, rest)) => Ok((u64::from_le_bytes(*discriminator), rest)),
            None => Err(Error::UNKNOWN_INSTRUCTION),
        }
    }

    /// Exactly N accounts, each of them a different one but for those whose bit is set in `may_repeat`.
    #[inline(always)]
    pub fn accounts<const N: usize>(&self, may_repeat: u64) -> Result<[Account<'a>; N]> {
        if self.count != N {
            return Err(Error::WRONG_ACCOUNT_COUNT);
        }
        self.leading(may_repeat)
    }

    /// The first N accounts; `rest` has what follows them, which may be accounts that were given before.
    #[inline(always)]
    pub fn leading<const N: usize>(&self, may_repeat: u64) -> Result<[Account<'a>; N]> {
        if self.count < N {
            return Err(Error::WRONG_ACCOUNT_COUNT);
        }
        if self.repeats & !may_repeat & ((1 << N) - 1) != 0 {
            return Err(Error::REPEATED_ACCOUNT);
        }
        Ok(core::array::from_fn(|index| unsafe { self.accounts[index].assume_init() }))
    }

    /// The accounts from the N-th on.
    #[inline(always)]
    pub fn rest(&self, n: usize) -> &[Account<'a>] {
        if n >= self.count {
            return &[];
        }
        unsafe { core::slice::from_raw_parts(self.accounts.as_ptr().add(n) as *const Account<'a>, self.count - n) }
    }
}
