"""The reference pages that are made from the code are those that the code makes now."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "reference.py"


def _tool():
    spec = importlib.util.spec_from_file_location("reference_tool", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _tool()


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_committed_page_is_what_the_code_says(name):
    committed = (ROOT / "docs" / "reference" / name).read_text()
    assert committed == reference.PAGES[name](), "run `make reference` and commit docs/reference"


def test_every_field_described_exists():
    known = {f"{struct.__name__}.{field}" for _, struct in reference.STRUCTS for field in struct.__struct_fields__}
    assert set(reference.FIELDS) == known


def test_every_limit_described_exists():
    from hypernode.kernel import limits

    assert all(hasattr(limits, name) for name in reference.LIMITS)


def test_a_code_without_words_is_an_error():
    with pytest.raises(reference.Incomplete, match="node\\.new"):
        reference._complete({"node.known": "Known."}, {"node.known", "node.new"})
