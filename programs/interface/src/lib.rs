//! What Hypernode's programs need of Solana, and nothing more.
//!
//! An instruction never sees a raw account: `input` parses what the loader passes, and the wrappers of `account`,
//! `record` and `token` can be made only by the constructors that check. Which checks an instruction's accounts need is declared
//! in its program's `program.toml`; the code that calls the constructors is generated from it.
#![no_std]
#![allow(clippy::missing_safety_doc)]

pub mod account;
pub mod arguments;
pub mod call;
pub mod clock;
pub mod digest;
pub mod error;
pub mod event;
pub mod input;
pub mod key;
pub mod math;
pub mod record;
pub mod signature;
pub mod slots;
pub mod syscall;
pub mod system;
pub mod token;
pub mod upgrade;

pub use account::{Account, Fixed, Signer, Unchecked, Wallet};
pub use arguments::Reader;
pub use call::{Meta, Seed};
pub use error::{Error, Result};
pub use event::emit;
pub use input::Input;
pub use key::Key;
pub use math::U128;
pub use record::{Layout, Record, RecordMut};
pub use token::{Mint, TokenAccount};

/// Return an error of the program unless the condition holds.
#[macro_export]
macro_rules! require {
    ($condition:expr, $error:expr) => {
        if !$condition {
            return Err($error.into());
        }
    };
}

/// The entry point of a program: `dispatch` gets the parsed input.
#[macro_export]
macro_rules! entrypoint {
    ($dispatch:path) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn entrypoint(input: *mut u8) -> u64 {
            let input = unsafe { $crate::Input::parse(input) };
            match input.and_then(|input| $dispatch(&input)) {
                Ok(()) => 0,
                Err(error) => error.code(),
            }
        }

        #[cfg(not(test))]
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo) -> ! {
            $crate::error::abort()
        }
    };
}
