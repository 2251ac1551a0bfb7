"""WebAssembly jobs: what runs inside the sandbox (`runner`, `wasi`) and what the agent does about it (the rest)."""
