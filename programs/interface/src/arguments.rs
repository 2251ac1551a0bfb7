//! Arguments of instructions, in Borsh.
use crate::{Error, Key, Result};

/// Reads arguments one after the other; `end` refuses bytes that are left.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline(always)]
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Error::MALFORMED_ARGUMENTS)?;
        self.0 = rest;
        Ok(*head)
    }

    #[inline(always)]
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    #[inline(always)]
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline(always)]
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline(always)]
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline(always)]
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    #[inline(always)]
    pub fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::MALFORMED_ARGUMENTS),
        }
    }

    #[inline(always)]
    pub fn pubkey(&mut self) -> Result<Key> {
        Ok(Key::new(self.array()?))
    }

    /// A byte below `variants`.
    #[inline(always)]
    pub fn variant(&mut self, variants: u8) -> Result<u8> {
        let value = self.u8()?;
        if value < variants { Ok(value) } else { Err(Error::MALFORMED_ARGUMENTS) }
    }

    /// At most `most` bytes, after their number.
    #[inline(always)]
    pub fn bytes(&mut self, most: usize) -> Result<&'a [u8]> {
        let length = self.u32()? as usize;
        if length > most {
            return Err(Error::OUT_OF_BOUNDS);
        }
        let (head, rest) = self.0.split_at_checked(length).ok_or(Error::MALFORMED_ARGUMENTS)?;
        self.0 = rest;
        Ok(head)
    }

    /// At most `most` bytes of UTF-8.
    #[inline(always)]
    pub fn string(&mut self, most: usize) -> Result<&'a [u8]> {
        let bytes = self.bytes(most)?;
        match core::str::from_utf8(bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(Error::MALFORMED_ARGUMENTS),
        }
    }

    #[inline(always)]
    pub fn end(self) -> Result {
        if self.0.is_empty() { Ok(()) } else { Err(Error::MALFORMED_ARGUMENTS) }
    }
}
