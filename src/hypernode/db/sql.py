"""SQL statements as files: each room keeps one statement a file in its `sql/` folder, named by intent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Final

from hypernode.kernel.errors import InvariantViolated


class Queries:
    """The statements of one room by the stem of their file, as attributes or by index.

    Rooms bind what they need to module constants (`_CLAIM: Final = queries.claim_jobs`), so that a name without a
    file stops the process when it is imported rather than when the statement is first needed.
    """

    __slots__ = ("_package", "_texts")

    def __init__(self, package: str, texts: Mapping[str, str]) -> None:
        self._package: Final = package
        self._texts: Final = dict(texts)

    def __getitem__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise InvariantViolated(f"{self._package} has no statement sql/{name}.sql") from None

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):  # copy, pickle and doctest ask for such; they expect an AttributeError
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def load_sql(package: str | None) -> Queries:
    """Reads every `sql/*.sql` of `package` once, from the source tree or an installed wheel.

    Call it with `__package__`. Raises `InvariantViolated` if the package has no statements or an empty one.
    """
    if not package:
        raise InvariantViolated("load_sql needs the name of a package; a script run by path has none")
    folder = resources.files(package) / "sql"
    if not folder.is_dir():
        raise InvariantViolated(f"{package} has no sql folder")
    texts = {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8").strip()
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".sql")
    }
    if not texts or not all(texts.values()):
        raise InvariantViolated(f"{package}/sql holds no statement, or an empty file")
    return Queries(package, texts)
