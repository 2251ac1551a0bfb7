//! SPL Token: its accounts, read in place, and the calls that move tokens.
//!
//! Only the original token program: the fees, hooks and delegates-for-ever of Token-2022 would break what escrows promise.
use crate::call::{Meta, Seed, invoke};
use crate::key::TOKEN_PROGRAM;
use crate::system::{Creation, create};
use crate::{Account, Error, Key, Result, Signer};

/// Bytes of a token account (spl-token, `state.rs`).
pub const TOKEN_ACCOUNT: usize = 165;
/// Bytes of a mint.
pub const MINT: usize = 82;

/// An initialized account of the token program.
#[derive(Clone, Copy)]
pub struct TokenAccount<'a>(Account<'a>);

impl<'a> TokenAccount<'a> {
    #[inline(always)]
    pub fn new(account: Account<'a>, writable: bool) -> Result<Self> {
        if *account.owner() != TOKEN_PROGRAM || account.len() != TOKEN_ACCOUNT || account.data()[108] != 1 {
            return Err(Error::WRONG_TOKEN_ACCOUNT);
        }
        account.require_writable(writable)?;
        Ok(Self(account))
    }

    /// Make the token account of these seeds under `program`, for `mint`, with `holder` as the only one to move its tokens.
    #[inline(always)]
    pub fn create(
        account: Account<'a>,
        payer: &Signer,
        program: &Key,
        mint: &Mint,
        holder: &Key,
        seeds: &[Seed],
    ) -> Result<(Self, u8)> {
        let owner = &TOKEN_PROGRAM;
        let bump = create(&Creation { account, payer: payer.account(), program, owner, space: TOKEN_ACCOUNT, seeds })?;
        let mut data = [0; 33];
        data[0] = 18; // InitializeAccount3
        data[1..].copy_from_slice(holder.bytes());
        let metas = [Meta::write(account), Meta::read(mint.account())];
        invoke(&TOKEN_PROGRAM, &metas, &data, &[account, mint.account()], &[])?;
        Ok((Self(account), bump))
    }

    #[inline(always)]
    pub fn key(&self) -> &'a Key {
        self.0.key()
    }

    #[inline(always)]
    pub fn account(&self) -> Account<'a> {
        self.0
    }

    #[inline(always)]
    pub fn mint(&self) -> &'a Key {
        unsafe { &*(self.0.data_pointer() as *const Key) }
    }

    /// Who may move its tokens; the token program calls it the owner.
    #[inline(always)]
    pub fn holder(&self) -> &'a Key {
        unsafe { &*(self.0.data_pointer().add(32) as *const Key) }
    }

    /// µHYPER it holds now, also after a call.
    #[inline(always)]
    pub fn amount(&self) -> u64 {
        unsafe { core::ptr::read_volatile(self.0.data_pointer().add(64) as *const u64) }
    }
}

/// An initialized mint.
#[derive(Clone, Copy)]
pub struct Mint<'a>(Account<'a>);

impl<'a> Mint<'a> {
    #[inline(always)]
    pub fn new(account: Account<'a>, writable: bool) -> Result<Self> {
        if *account.owner() != TOKEN_PROGRAM || account.len() != MINT || account.data()[45] != 1 {
            return Err(Error::WRONG_MINT);
        }
        account.require_writable(writable)?;
        Ok(Self(account))
    }

    #[inline(always)]
    pub fn key(&self) -> &'a Key {
        self.0.key()
    }

    #[inline(always)]
    pub fn account(&self) -> Account<'a> {
        self.0
    }

    #[inline(always)]
    pub fn supply(&self) -> u64 {
        unsafe { core::ptr::read_volatile(self.0.data_pointer().add(36) as *const u64) }
    }

    #[inline(always)]
    pub fn decimals(&self) -> u8 {
        self.0.data()[44]
    }

    /// Whether nobody can mint more or freeze accounts.
    #[inline(always)]
    pub fn is_final(&self) -> bool {
        self.0.data()[..4] == [0; 4] && self.0.data()[46..50] == [0; 4]
    }
}

/// Move tokens; `authority` holds `from`, as a signer of the transaction or as the address of `seeds`. Nothing happens for 0.
#[inline(always)]
pub fn transfer(from: &TokenAccount, to: &TokenAccount, authority: Account, amount: u64, seeds: &[Seed]) -> Result {
    if amount == 0 {
        return Ok(());
    }
    let mut data = [3, 0, 0, 0, 0, 0, 0, 0, 0];
    data[1..].copy_from_slice(&amount.to_le_bytes());
    let metas = [Meta::write(from.0), Meta::write(to.0), Meta::sign(authority)];
    invoke(&TOKEN_PROGRAM, &metas, &data, &[from.0, to.0, authority], seeds)
}

/// Burn tokens of `from`. Nothing happens for 0.
#[inline(always)]
pub fn burn(from: &TokenAccount, mint: &Mint, authority: Account, amount: u64, seeds: &[Seed]) -> Result {
    if amount == 0 {
        return Ok(());
    }
    let mut data = [8, 0, 0, 0, 0, 0, 0, 0, 0];
    data[1..].copy_from_slice(&amount.to_le_bytes());
    let metas = [Meta::write(from.0), Meta::write(mint.0), Meta::sign(authority)];
    invoke(&TOKEN_PROGRAM, &metas, &data, &[from.0, mint.0, authority], seeds)
}
