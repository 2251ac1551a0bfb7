"""How the Solana programs are made: declaration, generated Rust, IDL, and a linker for what rustc compiles."""
