//! Calls of staking, signed by this program's address.
use interface::call::invoke;
use interface::{Account, Meta, Result, Seed};

use crate::generated::{Config, staking};

/// Freeze the stake for one report.
#[inline(never)]
pub fn freeze(config: &Config, signer: Account, pool: Account, stake: Account) -> Result {
    call(config, &staking::calls::FREEZE, signer, pool, stake)
}

/// End one report's freeze.
#[inline(never)]
pub fn release(config: &Config, signer: Account, pool: Account, stake: Account) -> Result {
    call(config, &staking::calls::RELEASE, signer, pool, stake)
}

#[inline(always)]
fn call(config: &Config, data: &[u8; 8], signer: Account, pool: Account, stake: Account) -> Result {
    let bump = [config.signer_bump];
    let metas = [Meta::sign(signer), Meta::read(pool), Meta::write(stake)];
    let seeds = [Seed::new(b"authority"), Seed::new(&bump)];
    invoke(&config.staking, &metas, data, &[signer, pool, stake], &seeds)
}

/// Slash the stake and end the report. `parts` are signer, pool, stake, staking's vault, ours, the rewards' pool, and the
/// token program.
#[inline(never)]
pub fn slash(config: &Config, parts: &[Account; 7], bps: u16) -> Result {
    let bump = [config.signer_bump];
    let [signer, pool, stake, vault, slashed, rewards, token] = *parts;
    let metas = [
        Meta::sign(signer),
        Meta::write(pool),
        Meta::write(stake),
        Meta::write(vault),
        Meta::write(slashed),
        Meta::read(rewards),
        Meta::read(token),
    ];
    let mut data = [0; 10];
    data[..8].copy_from_slice(&staking::calls::SLASH);
    data[8..].copy_from_slice(&bps.to_le_bytes());
    invoke(&config.staking, &metas, &data, parts, &[Seed::new(b"authority"), Seed::new(&bump)])
}
