//! Ed25519 signatures that the precompile proved in the same transaction.
//!
//! The precompile takes offsets that may point into other instructions, so that a program which looks at the wrong bytes
//! accepts a signature over something else. Here the one before this instruction must be a call of the precompile with
//! exactly one signature, and its public key, signature and message at the places where every library puts them.
use crate::key::ED25519_PROGRAM;
use crate::{Error, Fixed, Key, Result};

const KEY_AT: usize = 16;
const SIGNATURE_AT: usize = KEY_AT + 32;
const MESSAGE_AT: usize = SIGNATURE_AT + 64;
const THIS_INSTRUCTION: u16 = u16::MAX;

#[inline(always)]
fn word(data: &[u8], at: usize) -> Result<u16> {
    match data.get(at..at + 2) {
        Some(bytes) => Ok(u16::from_le_bytes([bytes[0], bytes[1]])),
        None => Err(Error::NO_SIGNATURE),
    }
}

/// Refuse unless the instruction just before this one proved that `key` signed exactly `message`.
pub fn require_signed(instructions: &Fixed, key: &Key, message: &[u8]) -> Result {
    let data = instructions.account().data();
    // The last two bytes say which instruction runs now (solana-instructions-sysvar).
    let current = word(data, data.len().checked_sub(2).ok_or(Error::SYSVAR)?)? as usize;
    let before = current.checked_sub(1).ok_or(Error::NO_SIGNATURE)?;
    let mut at = word(data, 2 + 2 * before)? as usize;
    let accounts = word(data, at)? as usize;
    at += 2 + accounts * 33;
    let program = data.get(at..at + 32).ok_or(Error::NO_SIGNATURE)?;
    let length = word(data, at + 32)? as usize;
    let proof = data.get(at + 34..at + 34 + length).ok_or(Error::NO_SIGNATURE)?;
    if program != ED25519_PROGRAM.bytes() || length != MESSAGE_AT + message.len() {
        return Err(Error::NO_SIGNATURE);
    }
    let expected = [
        1, // one signature, and a byte of padding
        SIGNATURE_AT as u16,
        THIS_INSTRUCTION,
        KEY_AT as u16,
        THIS_INSTRUCTION,
        MESSAGE_AT as u16,
        message.len() as u16,
        THIS_INSTRUCTION,
    ];
    let mut index = 0;
    while index < 8 {
        if word(proof, 2 * index)? != expected[index] {
            return Err(Error::NO_SIGNATURE);
        }
        index += 1;
    }
    if &proof[KEY_AT..SIGNATURE_AT] != key.bytes() || &proof[MESSAGE_AT..] != message {
        return Err(Error::NO_SIGNATURE);
    }
    Ok(())
}
