"""Statements as files: read from a package, complete or refused."""

import sys
from pathlib import Path

import pytest

from hypernode.db.sql import load_sql
from hypernode.kernel.errors import InvariantViolated


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path, named by its folder."""
    folder = tmp_path / f"room_{tmp_path.name.strip('_0123456789')}"
    (folder / "sql").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder


def test_statements_are_found_by_the_stem_of_their_file(package):
    (package / "sql" / "claim_jobs.sql").write_text("SELECT 1;\n")
    (package / "sql" / "note.txt").write_text("no statement")
    queries = load_sql(package.name)
    assert queries["claim_jobs"] == queries.claim_jobs == "SELECT 1;"
    assert list(queries) == ["claim_jobs"]
    with pytest.raises(InvariantViolated, match=r"sql/claim_job\.sql"):
        _ = queries.claim_job
    with pytest.raises(AttributeError):
        _ = queries.__wrapped__


def test_empty_file_missing_folder_and_missing_package_are_refused(package):
    with pytest.raises(InvariantViolated):
        load_sql(package.name)
    (package / "sql" / "empty.sql").write_text(" \n")
    with pytest.raises(InvariantViolated):
        load_sql(package.name)
    with pytest.raises(InvariantViolated):
        load_sql("hypernode.kernel")
    with pytest.raises(InvariantViolated):
        load_sql(None)
