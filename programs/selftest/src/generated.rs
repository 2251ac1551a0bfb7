// Made from program.toml by `make programs`; do not edit.
#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]
use interface::*;


pub mod errors {
    use interface::Error;
    /// Nothing returns this.
    pub const UNUSED: Error = Error(6100);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Operation(pub u8);
impl Operation {
    pub const WORDS: Self = Self(0);
    pub const MUL_DIV: Self = Self(1);
    pub const SHARE: Self = Self(2);
    pub const TIMES: Self = Self(3);
    pub const DIVIDE: Self = Self(4);
    pub const MINUS: Self = Self(5);
}

/// Computes, and returns the words of the result; refuses as the interface does.
pub struct ComputeAccounts<'a> {
    pub caller: Signer<'a>,
}
pub struct ComputeArguments {
    pub a: u64,
    pub b: u64,
    pub c: u64,
    pub operation: Operation,
}
#[inline(never)]
fn compute<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {
    let [caller] = input.accounts::<1>(0x0)?;
    let mut reader = Reader::new(data);
    let arguments = ComputeArguments {
        a: reader.u64()?,
        b: reader.u64()?,
        c: reader.u64()?,
        operation: Operation(reader.variant(6)?),
    };
    reader.end()?;
    let caller = Signer::new(caller, false)?;
    let mut accounts = ComputeAccounts { caller };
    crate::compute(&mut accounts, &arguments, input)
}

/// Run the instruction that the data names.
#[inline(always)]
pub fn dispatch(input: &Input) -> Result {
    let (instruction, data) = input.instruction()?;
    match instruction {
        0x89b1ea8c37ebb75e => compute(input, data),
        _ => Err(Error::UNKNOWN_INSTRUCTION),
    }
}
