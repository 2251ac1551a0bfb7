//! Arithmetic on operands that a test makes up, so that what rustc, LLVM, our linker and the interface make of it is
//! compared with what it should be.
#![no_std]

mod generated;

use generated::*;
use interface::math::{mul_div, share};
use interface::{Input, Result, U128, entrypoint, syscalls};

entrypoint!(dispatch);

syscalls! {
    fn sol_set_return_data(data: *const u8, length: u64) -> ();
}

fn compute(_: &mut ComputeAccounts, arguments: &ComputeArguments, _: &Input) -> Result {
    let (a, b, c) = (arguments.a, arguments.b, arguments.c);
    let result = match arguments.operation {
        Operation::WORDS => U128 { low: words(a, b), high: 0 },
        Operation::MUL_DIV => U128 { low: mul_div(a, b, c)?, high: 0 },
        Operation::SHARE => U128 { low: share(a, b)?, high: 0 },
        Operation::TIMES => U128 { low: a, high: b }.times(c)?,
        Operation::DIVIDE => U128 { low: a, high: b }.divide(c)?,
        _ => U128 { low: a, high: b }.plus(U128 { low: c, high: a })?.minus(U128 { low: b, high: c })?,
    };
    let words = [result.low, result.high];
    unsafe { sol_set_return_data(words.as_ptr() as *const u8, 16) };
    Ok(())
}

/// What every width and sign of integer makes of two words, mixed into one (FNV-1a by words).
#[inline(never)]
fn words(a: u64, b: u64) -> u64 {
    let (x, y, s, t) = (a as u32, b as u32, a as i32, b as i32);
    let mut state = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |value: u64| state = (state ^ value).wrapping_mul(0x100_0000_01b3);
    mix(x.wrapping_add(y) as u64);
    mix(x.wrapping_sub(y) as u64);
    mix(x.wrapping_mul(y) as u64);
    mix(if y == 0 { 1 } else { (x / y) as u64 });
    mix(if y == 0 { 2 } else { (x % y) as u64 });
    mix((s as i64).wrapping_add(t as i64) as u64);
    mix(x.wrapping_sub(y) as i32 as i64 as u64);
    mix(s as i64 as u64);
    mix((s >> (y & 31)) as i64 as u64);
    mix((x >> (y & 31)) as u64);
    mix((x << (y & 31)) as u64);
    mix(((a as i64) >> (b & 63)) as u64);
    mix(a >> (b & 63));
    mix(a << (b & 63));
    mix(if b == 0 { 3 } else { a / b });
    mix(if b == 0 { 4 } else { a % b });
    mix((s < t) as u64);
    mix((x < y) as u64);
    mix(((a as i64) < (b as i64)) as u64);
    mix((a < b) as u64);
    mix(x.wrapping_add(y) as u16 as u64);
    mix(x.wrapping_mul(3) as i8 as i64 as u64);
    mix((a ^ b) as i16 as i64 as u64);
    mix(x.swap_bytes() as u64);
    mix(a.swap_bytes());
    mix((a as u16).swap_bytes() as u64);
    mix(s.wrapping_neg() as i64 as u64);
    mix(!x as u64);
    mix(x.rotate_left(y & 31) as u64);
    mix(a.rotate_left((b & 63) as u32));
    mix(a.leading_zeros() as u64);
    mix(x.count_ones() as u64);
    mix(a.checked_add(b).unwrap_or(5));
    mix(a.checked_sub(b).unwrap_or(6));
    mix(x.checked_add(y).unwrap_or(7) as u64);
    mix((a as i64).checked_add(b as i64).unwrap_or(8) as u64);
    mix(x.saturating_sub(y) as u64);
    mix(if s < 0 { s as i64 as u64 } else { y as u64 });
    state
}
