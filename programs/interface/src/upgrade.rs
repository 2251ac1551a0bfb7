//! Who may set a program up: the one who may replace it.
use crate::key::UPGRADEABLE_LOADER;
use crate::{Account, Error, Key, Result, Signer};

/// Refuse unless `signer` holds the upgrade authority of the running program, by the loader's own records
/// (solana-loader-v3-interface, `state.rs`). Nobody else can be first to initialize it.
#[inline(always)]
pub fn require_authority(signer: &Signer, program: Account, program_data: Account, this: &Key) -> Result {
    let pointer = program.data();
    let data = program_data.data();
    let valid = program.key() == this
        && *program.owner() == UPGRADEABLE_LOADER
        && *program_data.owner() == UPGRADEABLE_LOADER
        && pointer.len() >= 36
        && pointer[..4] == [2, 0, 0, 0]
        && &pointer[4..36] == program_data.key().bytes()
        && data.len() >= 45
        && data[..4] == [3, 0, 0, 0]
        && data[12] == 1
        && &data[13..45] == signer.key().bytes();
    if valid { Ok(()) } else { Err(Error::NOT_UPGRADE_AUTHORITY) }
}
