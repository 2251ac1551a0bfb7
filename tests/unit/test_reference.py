"""The reference pages that are made from the code are those that the code makes now."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "reference.py"


def _tool():
    spec = importlib.util.spec_from_file_location("reference_tool", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(TOOL.parent))  # as for a script, its folder holds what it imports
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOL.parent))
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


def test_only_what_may_be_null_is_said_to_be():
    page = reference.job_document()
    assert re.search(r"^\| `runtime` \|.*\| object \| \*\*required\*\*", page, re.MULTILINE)
    assert re.search(r"^\| `network` \|.*\| object or null \| null", page, re.MULTILINE)


def test_a_code_without_words_is_an_error():
    with pytest.raises(reference.Incomplete, match="node\\.new"):
        reference._complete({"node.known": "Known."}, {"node.known", "node.new"})


def test_the_receipt_in_the_docs_verifies_as_the_docs_say(tmp_path):
    page = (ROOT / "docs" / "reference" / "receipts.md").read_text()
    (receipt,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "receipt.json").write_text(f"[{receipt}]")
    (tmp_path / "verify.py").write_text(script)
    command = [sys.executable, "verify.py", "receipt.json"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.startswith("valid ")
    (tmp_path / "receipt.json").write_text(f"[{receipt.replace('29', '30')}]")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1


def test_what_the_architecture_names_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    source = ROOT / "src" / "hypernode"
    paths = set(re.findall(r"`([a-z_]+/[a-z0-9_/]+\.(?:py|sql))`", page))
    assert paths
    assert not [path for path in paths if not (source / path).is_file()]
    for path, names in re.findall(r"`([a-z_/]+\.py)` `([A-Za-z_.]+)`", page):
        text = (source / path).read_text()
        for name in names.split("."):
            assert re.search(rf"\b(def|class) {name}\b", text), f"{path} has no {name}"
