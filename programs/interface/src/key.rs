//! Addresses.

/// A 32-byte address. Compared as four words, which costs an eighth of comparing bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Key(pub [u64; 4]);

impl Key {
    pub const ZERO: Self = Self([0; 4]);

    /// The address with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        let mut at = 0;
        while at < 32 {
            words[at / 8] |= (bytes[at] as u64) << (8 * (at % 8));
            at += 1;
        }
        Self(words)
    }

    #[inline(always)]
    pub fn bytes(&self) -> &[u8; 32] {
        unsafe { &*(self as *const Self as *const [u8; 32]) }
    }
}

/// The address that a base58 text names; evaluated when the program is compiled, where a bad text is an error.
pub const fn address(text: &str) -> Key {
    const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let text = text.as_bytes();
    let mut bytes = [0u8; 32];
    let mut at = 0;
    while at < text.len() {
        let mut carry = 0;
        while carry < 58 && DIGITS[carry] != text[at] {
            carry += 1;
        }
        assert!(carry < 58, "not a base58 digit");
        let mut place = 32;
        while place > 0 {
            place -= 1;
            carry += bytes[place] as usize * 58;
            bytes[place] = carry as u8;
            carry >>= 8;
        }
        assert!(carry == 0, "longer than 32 bytes");
        at += 1;
    }
    Key::new(bytes)
}

pub const SYSTEM_PROGRAM: Key = Key::ZERO;
pub const TOKEN_PROGRAM: Key = address("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
pub const ED25519_PROGRAM: Key = address("Ed25519SigVerify111111111111111111111111111");
pub const UPGRADEABLE_LOADER: Key = address("BPFLoaderUpgradeab1e11111111111111111111111");
pub const INSTRUCTIONS_SYSVAR: Key = address("Sysvar1nstructions1111111111111111111111111");
pub const SLOT_HASHES_SYSVAR: Key = address("SysvarS1otHashes111111111111111111111111111");
