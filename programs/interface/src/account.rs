//! Accounts, and the wrappers that say what was checked of them.
use core::marker::PhantomData;

use crate::{Error, Key, Result};

/// An account as the loader passed it, with nothing checked. Only generated code turns it into something usable.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Account<'a> {
    at: *mut u8,
    lifetime: PhantomData<&'a ()>,
}

impl<'a> Account<'a> {
    /// # Safety
    /// `at` is the first byte of an account in the loader's buffer.
    #[inline(always)]
    pub(crate) unsafe fn at(at: *mut u8) -> Self {
        Self { at, lifetime: PhantomData }
    }

    #[inline(always)]
    pub fn is_signer(self) -> bool {
        unsafe { *self.at.add(1) != 0 }
    }

    #[inline(always)]
    pub fn is_writable(self) -> bool {
        unsafe { *self.at.add(2) != 0 }
    }

    #[inline(always)]
    pub fn is_executable(self) -> bool {
        unsafe { *self.at.add(3) != 0 }
    }

    #[inline(always)]
    pub fn key(self) -> &'a Key {
        unsafe { &*(self.at.add(8) as *const Key) }
    }

    #[inline(always)]
    pub fn owner(self) -> &'a Key {
        unsafe { &*(self.at.add(40) as *const Key) }
    }

    #[inline(always)]
    pub(crate) fn set_owner(self, owner: &Key) {
        unsafe { *(self.at.add(40) as *mut Key) = *owner }
    }

    #[inline(always)]
    pub(crate) fn lamports(self) -> *mut u64 {
        unsafe { self.at.add(72) as *mut u64 }
    }

    /// Bytes of data now; a call to the system program may have changed it.
    #[inline(always)]
    pub fn len(self) -> usize {
        unsafe { core::ptr::read_volatile(self.at.add(80) as *const u64) as usize }
    }

    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    pub(crate) fn set_len(self, length: usize) {
        unsafe { *(self.at.add(80) as *mut u64) = length as u64 }
    }

    #[inline(always)]
    pub(crate) fn data_pointer(self) -> *mut u8 {
        unsafe { self.at.add(88) }
    }

    #[inline(always)]
    pub fn data(self) -> &'a [u8] {
        unsafe { core::slice::from_raw_parts(self.data_pointer(), self.len()) }
    }

    #[inline(always)]
    pub fn require_writable(self, writable: bool) -> Result {
        if writable && !self.is_writable() { Err(Error::NOT_WRITABLE) } else { Ok(()) }
    }
}

macro_rules! wrapper {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub struct $name<'a>(Account<'a>);

        impl<'a> $name<'a> {
            #[inline(always)]
            pub fn key(&self) -> &'a Key {
                self.0.key()
            }

            #[inline(always)]
            pub fn account(&self) -> Account<'a> {
                self.0
            }
        }
    };
}

wrapper!(
    /// An account that signed the transaction, or for which a calling program did.
    Signer
);
wrapper!(
    /// An address, of which nothing is known but the key; a generated check ties it to a record.
    Wallet
);
wrapper!(
    /// A program or sysvar at its well-known address.
    Fixed
);
wrapper!(
    /// An account of which nothing was checked. Declared only where a signature over it replaces every check.
    Unchecked
);

impl<'a> Signer<'a> {
    #[inline(always)]
    pub fn new(account: Account<'a>, writable: bool) -> Result<Self> {
        if !account.is_signer() {
            return Err(Error::NOT_SIGNER);
        }
        account.require_writable(writable)?;
        Ok(Self(account))
    }
}

impl<'a> Wallet<'a> {
    #[inline(always)]
    pub fn new(account: Account<'a>, writable: bool) -> Result<Self> {
        account.require_writable(writable)?;
        Ok(Self(account))
    }
}

impl<'a> Fixed<'a> {
    #[inline(always)]
    pub fn new(account: Account<'a>, address: &Key) -> Result<Self> {
        if account.key() != address {
            return Err(Error::WRONG_ADDRESS);
        }
        Ok(Self(account))
    }
}

impl<'a> Unchecked<'a> {
    #[inline(always)]
    pub fn new(account: Account<'a>) -> Self {
        Self(account)
    }
}
