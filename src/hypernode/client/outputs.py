"""Where the outputs of a job may be written: below one folder, whatever a coordinator or a node calls them."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import msgspec

from hypernode.client import calls
from hypernode.client.effects import Emit, Operation, Work
from hypernode.client.errors import AnswerInvalid, FileUnusable
from hypernode.client.operations import Patience, ask
from hypernode.client.transfers import Progress, download
from hypernode.jobs.model import check_path
from hypernode.jobs.views import TaskView
from hypernode.kernel import limits
from hypernode.ledger.receipt import OutputFile


class FetchedOutput(msgspec.Struct, frozen=True):
    """An output that is here now. `path` is its name in the job, `file` where it lies."""

    task: int
    path: str
    file: Path
    sha256: str
    size_bytes: int


def fetch(job_id: str, folder: Path, patience: Patience, progress: Progress | None = None) -> Operation[None]:
    """Emit a FetchedOutput for each output of each task. The tasks of an array go to folders named by their index.
    Files that are there with the same bytes are not fetched again."""
    job = yield from ask(calls.job(job_id), patience)
    array = job.document.array is not None if job.document else job.size > 1
    cursor: str | None = None
    while True:
        page = yield from ask(calls.tasks(job_id, None, cursor, limits.PAGE_ITEMS), patience)
        for task in page.items:
            root = folder / str(task.index) if array else folder
            for output in _checked(task):
                target: Path = yield Work(functools.partial(place, folder, root, output.path))
                present = yield Work(functools.partial(_same, target, output))
                if not present:
                    yield from download(output.sha256, target, patience, progress, output.size_bytes)
                yield Emit(FetchedOutput(task.index, output.path, target, output.sha256, output.size_bytes))
        if page.next is None:
            return
        cursor = page.next


def _checked(task: TaskView) -> list[OutputFile]:
    """A task's outputs, refused together if any of them is not what a node may collect."""
    if len(task.outputs) > limits.OUTPUT_FILES or task.index < 0:
        raise AnswerInvalid(f"task {task.index} lists {len(task.outputs)} outputs")
    for output in task.outputs:
        try:
            check_path(output.path)
        except ValueError as error:
            raise AnswerInvalid(f"task {task.index} has an output with a forbidden name: {error}") from error
    return task.outputs


def place(folder: Path, root: Path, name: str) -> Path:
    """The file that output `name` goes to, its folders made. Links that lead out of `folder` are refused: an earlier
    output, or someone else, might have put them there. Raises FileUnusable."""
    target = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inside = folder.resolve()
        made = folder
        for part in target.relative_to(folder).parts[:-1]:
            made = made / part
            if not made.resolve().is_relative_to(inside):
                raise FileUnusable(f"{made} leads out of {folder}")
            made.mkdir(exist_ok=True)
        if target.is_symlink():
            target.unlink()  # replaced by the file itself, never written through
    except (OSError, ValueError, RuntimeError) as error:
        raise FileUnusable(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from error
    return target


def _same(target: Path, output: OutputFile) -> bool:
    try:
        if not target.is_file() or target.stat().st_size != output.size_bytes:
            return False
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == output.sha256
    except OSError:
        return False
