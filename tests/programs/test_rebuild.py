"""The images are what their sources make, byte for byte, in another folder.

Needs the compiler, which `make programs` installs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from solana_programs import build

from hypernode.chain.programs.bundle import IMAGES

COMPILER = IMAGES / "COMPILER"


@pytest.mark.timeout(900)
def test_a_rebuild_is_byte_identical():
    if not Path("/usr/bin/cargo").exists() or not Path("/usr/lib/rustlib/src/rust/library").exists():
        pytest.skip("no compiler for programs here; make programs installs it")
    if build.compiler() != COMPILER.read_text().strip():
        pytest.skip(f"the images are of {COMPILER.read_text().strip()}, here is {build.compiler()}")
    assert build.differing(build.compiled()) == []
