//! Records: the data of accounts that programs own, viewed in place.
use core::marker::PhantomData;
use core::mem::size_of;
use core::ops::{Deref, DerefMut};

use crate::call::Seed;
use crate::system::{Creation, create};
use crate::{Account, Error, Key, Result, Signer};

/// The layout of a record: `repr(C)`, no holes, alignment at most 8, every bit pattern valid, discriminator first.
///
/// # Safety
/// The implementing type is exactly that; the generator asserts it when the program is compiled.
pub unsafe trait Layout {
    /// `sha256("account:Name")[..8]`, little-endian.
    const DISCRIMINATOR: u64;
}

#[inline(always)]
fn check<T: Layout>(account: Account, program: &Key) -> Result {
    if account.owner() != program {
        return Err(Error::WRONG_OWNER);
    }
    // The length is exact, so that a record cannot be mistaken for a longer one with the same beginning.
    if account.len() != size_of::<T>() || unsafe { *(account.data_pointer() as *const u64) } != T::DISCRIMINATOR {
        return Err(Error::WRONG_RECORD);
    }
    Ok(())
}

/// A record to be read, of this program or of another one.
pub struct Record<'a, T> {
    account: Account<'a>,
    layout: PhantomData<&'a T>,
}

impl<'a, T: Layout> Record<'a, T> {
    /// The record of `program` in this account.
    #[inline(always)]
    pub fn new(account: Account<'a>, program: &Key) -> Result<Self> {
        check::<T>(account, program)?;
        Ok(Self { account, layout: PhantomData })
    }


    #[inline(always)]
    pub fn key(&self) -> &'a Key {
        self.account.key()
    }

    #[inline(always)]
    pub fn account(&self) -> Account<'a> {
        self.account
    }
}

impl<T> Deref for Record<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        unsafe { &*(self.account.data_pointer() as *const T) }
    }
}

/// A record to be changed; its account is writable.
pub struct RecordMut<'a, T> {
    account: Account<'a>,
    layout: PhantomData<&'a mut T>,
}

impl<'a, T: Layout> RecordMut<'a, T> {
    #[inline(always)]
    pub fn new(account: Account<'a>, program: &Key) -> Result<Self> {
        check::<T>(account, program)?;
        account.require_writable(true)?;
        Ok(Self { account, layout: PhantomData })
    }

    /// Make the record: the account must be the one of these seeds with the canonical bump, and hold nothing yet. All
    /// fields but the discriminator are zero. Returns the bump with it.
    #[inline(always)]
    pub fn create(account: Account<'a>, payer: &Signer, program: &Key, seeds: &[Seed]) -> Result<(Self, u8)> {
        let space = size_of::<T>();
        let bump = create(&Creation { account, payer: payer.account(), program, owner: program, space, seeds })?;
        unsafe { *(account.data_pointer() as *mut u64) = T::DISCRIMINATOR };
        Ok((Self { account, layout: PhantomData }, bump))
    }

    /// Close the record: its rent goes to `to`, its data and its owner are gone. In the same transaction somebody may
    /// give it lamports again; it is then an empty account of the system program, and no record.
    #[inline(always)]
    pub fn close(&mut self, to: Account) -> Result {
        to.require_writable(true)?;
        if to.key() == self.account.key() {
            return Err(Error::REPEATED_ACCOUNT);
        }
        unsafe {
            let sum = (*to.lamports()).checked_add(*self.account.lamports()).ok_or(Error::ARITHMETIC)?;
            *to.lamports() = sum;
            *self.account.lamports() = 0;
            *(self.account.data_pointer() as *mut u64) = 0;
        }
        self.account.set_len(0);
        self.account.set_owner(&Key::ZERO);
        Ok(())
    }

    #[inline(always)]
    pub fn key(&self) -> &'a Key {
        self.account.key()
    }

    #[inline(always)]
    pub fn account(&self) -> Account<'a> {
        self.account
    }
}

impl<T> Deref for RecordMut<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        unsafe { &*(self.account.data_pointer() as *const T) }
    }
}

impl<T> DerefMut for RecordMut<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        unsafe { &mut *(self.account.data_pointer() as *mut T) }
    }
}
