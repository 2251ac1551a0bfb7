//! Vouchers: what a client signs to pay a running job bit by bit, off chain, each replacing the one before.
use interface::{Fixed, Key, RecordMut, Result, signature};

use crate::generated::Job;

const DOMAIN: &[u8; 20] = b"hypernode:voucher:v1";
/// Bytes of what is signed: domain, program, market, job, serial, node, cumulative amount.
const LENGTH: usize = 20 + 32 + 32 + 32 + 8 + 32 + 8;

/// Refuse unless the client signed this amount, for this job as it was opened this time, to this node.
///
/// The serial is there because a closed job's address can be opened again, the market because each counts its own serials,
/// the program because other deployments have the same addresses of clients, the node because a voucher is for work done,
/// not for whoever finds it.
#[inline(always)]
pub fn require_signed(instructions: &Fixed, program: &Key, job: &RecordMut<Job>, cumulative: u64) -> Result {
    let mut message = [0; LENGTH];
    message[..20].copy_from_slice(DOMAIN);
    message[20..52].copy_from_slice(program.bytes());
    message[52..84].copy_from_slice(job.market.bytes());
    message[84..116].copy_from_slice(job.key().bytes());
    message[116..124].copy_from_slice(&job.serial.to_le_bytes());
    message[124..156].copy_from_slice(job.node.bytes());
    message[156..164].copy_from_slice(&cumulative.to_le_bytes());
    signature::require_signed(instructions, &job.client, &message)
}
