//! Syscalls: the functions of the runtime.
//!
//! Loaders resolve them by name in SBF v0 to v2, and our linker does for v3. The official compiler for v3 wants them called at
//! the address that is the hash of their name, and says so by the target feature `static-syscalls`.

/// Declare syscalls, each as an unsafe function.
#[cfg(not(target_feature = "static-syscalls"))]
#[macro_export]
macro_rules! syscalls {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)+) => {
        unsafe extern "C" {
            $(fn $name($($argument: $type),*) -> $result;)+
        }
    };
}

/// Declare syscalls, each as an unsafe function.
#[cfg(target_feature = "static-syscalls")]
#[macro_export]
macro_rules! syscalls {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)+) => {
        $(
            #[inline(always)]
            unsafe fn $name($($argument: $type),*) -> $result {
                const ADDRESS: usize = $crate::syscall::hash(stringify!($name)) as usize;
                let call: unsafe extern "C" fn($($type),*) -> $result = unsafe { core::mem::transmute(ADDRESS) };
                unsafe { call($($argument),*) }
            }
        )+
    };
}

/// The number that stands for a syscall in v3: Murmur3 of its name, seed 0 (Appleby's `MurmurHash3_x86_32`).
pub const fn hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut state = 0u32;
    let mut at = 0;
    while at < bytes.len() {
        let (mut block, mut size) = (0, 0);
        while size < 4 && at + size < bytes.len() {
            block |= (bytes[at + size] as u32) << (8 * size);
            size += 1;
        }
        state ^= block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        if size == 4 {
            state = state.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
        }
        at += size;
    }
    state ^= bytes.len() as u32;
    state = (state ^ (state >> 16)).wrapping_mul(0x85eb_ca6b);
    state = (state ^ (state >> 13)).wrapping_mul(0xc2b2_ae35);
    state ^ (state >> 16)
}

// Known from every other implementation.
const _: () = assert!(hash("sol_log_") == 0x2075_59bd);
