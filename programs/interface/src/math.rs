//! Checked arithmetic on unsigned integers. LLVM's eBPF backend has no 128-bit products, so they are made of halves.
use crate::{Error, Result};

/// One hundred per cent, in basis points.
pub const BPS: u64 = 10_000;

#[inline(always)]
pub fn add(a: u64, b: u64) -> Result<u64> {
    a.checked_add(b).ok_or(Error::ARITHMETIC)
}

#[inline(always)]
pub fn sub(a: u64, b: u64) -> Result<u64> {
    a.checked_sub(b).ok_or(Error::ARITHMETIC)
}

#[inline(always)]
pub fn mul(a: u64, b: u64) -> Result<u64> {
    let U128 { low, high } = U128::product(a, b);
    if high == 0 { Ok(low) } else { Err(Error::ARITHMETIC) }
}

/// `a · b // c`, exact in between.
#[inline(always)]
pub fn mul_div(a: u64, b: u64, c: u64) -> Result<u64> {
    U128::product(a, b).divide(c)?.word()
}

/// `bps` ten-thousandths of an amount, floored.
#[inline(always)]
pub fn share(amount: u64, bps: u64) -> Result<u64> {
    // Every amount there can be takes the short way: the supply times 10,000 is below 2^64.
    if amount <= u64::MAX / BPS && bps <= BPS {
        return Ok(amount * bps / BPS);
    }
    mul_div(amount, bps, BPS)
}

/// A moment some seconds later.
#[inline(always)]
pub fn later(time: i64, seconds: u64) -> Result<i64> {
    if seconds > i64::MAX as u64 {
        return Err(Error::ARITHMETIC);
    }
    time.checked_add(seconds as i64).ok_or(Error::ARITHMETIC)
}

/// An unsigned integer of 128 bits, as Borsh lays it out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct U128 {
    pub low: u64,
    pub high: u64,
}

impl U128 {
    pub const ZERO: Self = Self { low: 0, high: 0 };

    /// `a · b`: school multiplication of 32-bit halves.
    #[inline(always)]
    pub const fn product(a: u64, b: u64) -> Self {
        const HALF: u64 = 0xffff_ffff;
        let (a1, a0, b1, b0) = (a >> 32, a & HALF, b >> 32, b & HALF);
        let bottom = a0 * b0;
        let middle = a1 * b0 + (bottom >> 32);
        let other = a0 * b1 + (middle & HALF);
        Self { low: other << 32 | bottom & HALF, high: a1 * b1 + (middle >> 32) + (other >> 32) }
    }

    #[inline(always)]
    pub fn plus(self, other: Self) -> Result<Self> {
        let low = self.low.wrapping_add(other.low);
        let carry = (low < self.low) as u64;
        let high = self.high.checked_add(other.high).and_then(|high| high.checked_add(carry));
        Ok(Self { low, high: high.ok_or(Error::ARITHMETIC)? })
    }

    #[inline(always)]
    pub fn minus(self, other: Self) -> Result<Self> {
        let borrow = (self.low < other.low) as u64;
        let high = self.high.checked_sub(other.high).and_then(|high| high.checked_sub(borrow));
        Ok(Self { low: self.low.wrapping_sub(other.low), high: high.ok_or(Error::ARITHMETIC)? })
    }

    #[inline(always)]
    pub fn times(self, by: u64) -> Result<Self> {
        let low = Self::product(self.low, by);
        let high = mul(self.high, by)?;
        Ok(Self { low: low.low, high: low.high.checked_add(high).ok_or(Error::ARITHMETIC)? })
    }

    /// The floored quotient. Refuses 0.
    #[inline(always)]
    pub fn divide(self, by: u64) -> Result<Self> {
        if by == 0 {
            return Err(Error::ARITHMETIC);
        }
        if self.high == 0 {
            return Ok(Self { low: self.low / by, high: 0 });
        }
        Ok(Self { low: quotient(self.high % by, self.low, by), high: self.high / by })
    }

    /// The number as one word, if it is that small.
    #[inline(always)]
    pub fn word(self) -> Result<u64> {
        if self.high == 0 { Ok(self.low) } else { Err(Error::ARITHMETIC) }
    }
}

/// `(high·2^64 + low) // by` for `high < by`: Knuth's algorithm D on two 32-bit digits (TAOCP 4.3.1, as in Hacker's
/// Delight `divlu`).
#[inline(never)]
fn quotient(high: u64, low: u64, by: u64) -> u64 {
    const BASE: u64 = 1 << 32;
    const HALF: u64 = BASE - 1;
    let mut shift = 0;
    let mut divisor = by;
    // Found by halves rather than by counting zeros, which eBPF has no instruction for.
    let mut step = 32;
    while step > 0 {
        if divisor >> (64 - step) == 0 {
            divisor <<= step;
            shift += step;
        }
        step >>= 1;
    }
    let (top, bottom) = (divisor >> 32, divisor & HALF);
    let upper = if shift == 0 { high } else { high << shift | low >> (64 - shift) };
    let lower = low << shift;
    let first = digit(upper, lower >> 32, top, bottom);
    let rest = (upper << 32 | lower >> 32).wrapping_sub(first.wrapping_mul(divisor));
    let second = digit(rest, lower & HALF, top, bottom);
    first << 32 | second
}

/// One 32-bit digit of a quotient: an estimate by the divisor's upper half, at most two too high, put right.
#[inline(always)]
fn digit(upper: u64, next: u64, top: u64, bottom: u64) -> u64 {
    const BASE: u64 = 1 << 32;
    let mut digit = upper / top;
    let mut rest = upper - digit * top;
    while digit >= BASE || digit * bottom > (rest << 32 | next) {
        digit -= 1;
        rest += top;
        if rest >= BASE {
            break;
        }
    }
    digit
}
