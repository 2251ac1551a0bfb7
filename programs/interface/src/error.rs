//! Errors of a program: a code, as Anchor's clients expect it.

/// An error code. 6000 to 6099 mean the same in every program; a program's own begin at 6100.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error(pub u32);

pub type Result<T = ()> = core::result::Result<T, Error>;

impl Error {
    pub const UNKNOWN_INSTRUCTION: Self = Self(6000);
    pub const MALFORMED_ARGUMENTS: Self = Self(6001);
    pub const WRONG_ACCOUNT_COUNT: Self = Self(6002);
    pub const REPEATED_ACCOUNT: Self = Self(6003);
    pub const NOT_SIGNER: Self = Self(6004);
    pub const NOT_WRITABLE: Self = Self(6005);
    pub const WRONG_OWNER: Self = Self(6006);
    pub const WRONG_RECORD: Self = Self(6007);
    pub const WRONG_ADDRESS: Self = Self(6008);
    pub const WRONG_MINT: Self = Self(6009);
    pub const WRONG_HOLDER: Self = Self(6010);
    pub const WRONG_TOKEN_ACCOUNT: Self = Self(6011);
    pub const ALREADY_EXISTS: Self = Self(6012);
    pub const NOT_UPGRADE_AUTHORITY: Self = Self(6013);
    pub const ARITHMETIC: Self = Self(6014);
    pub const SYSVAR: Self = Self(6015);
    pub const NO_SIGNATURE: Self = Self(6016);
    pub const OUT_OF_BOUNDS: Self = Self(6017);
    pub const CALL_FAILED: Self = Self(6018);

    /// What the entry point returns to the runtime for it.
    #[inline(always)]
    pub const fn code(self) -> u64 {
        self.0 as u64
    }
}

#[cfg(any(target_arch = "bpf", target_arch = "sbf"))]
mod runtime {
    crate::syscalls! {
        fn abort() -> !;
    }

    #[inline(always)]
    pub fn end() -> ! {
        unsafe { abort() }
    }
}

/// End the program at once, as a failed one; nothing it did stays.
#[cfg(any(target_arch = "bpf", target_arch = "sbf"))]
pub fn abort() -> ! {
    runtime::end()
}

#[cfg(not(any(target_arch = "bpf", target_arch = "sbf")))]
pub fn abort() -> ! {
    panic!("the program ended itself")
}
