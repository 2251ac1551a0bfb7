"""What a job sees of its image: the options that have bubblewrap show it.

The root is an empty folder of the sandbox's own, in which each entry of the image's root appears read-only, so there is
room beside them for what every job gets. Where something has to be made deeper in the image, the folder above it is
replaced in the same way.

bubblewrap follows links while it builds, when the host is still in sight. So no path that it is given leads through a
link of the image: they are followed here, within the image, and the image's own entries never take the names of ours.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable

from hypernode.agent.sandboxes.base import SandboxError

OURS = ("dev", "in", "out", "proc", "tmp")
"""Folders that every job gets, whatever its image has there."""
ENTRIES = 500
"""Of a folder that is replaced: each is a mount."""
LINKS = 40


class ImageRoot:
    """One task's view of an image."""

    def __init__(self, root: str, place: str, wanted: Iterable[str]) -> None:
        """`root` is the image's folder as we see it, `place` the same one as bubblewrap will; `wanted` are the paths at
        which there has to be something. Raises SandboxError `sandbox.task_invalid` where that cannot be."""
        self._root = root
        self._place = place
        self._replaced: set[tuple[str, ...]] = set()
        self._paths = {path: self._make_room(path) for path in wanted}

    def path(self, wanted: str) -> str:
        """Where a wanted path leads in the sandbox, through no link."""
        return "/" + "/".join(self._paths[wanted])

    def is_folder(self, wanted: str) -> bool:
        """Whether the image has a folder there."""
        parts = self._paths[wanted]
        return not parts or (parts[0] not in OURS and self._kind(parts) == stat.S_IFDIR)

    def options(self) -> list[str]:
        """What shows the image, without room for more."""
        made = self._entries((), skip=OURS)
        for folder in sorted(self._replaced, key=len):
            made += ["--size", "65536", "--tmpfs", "/" + "/".join(folder), *self._entries(folder)]
        return made

    def closing(self) -> list[str]:
        """What ends the making of things in the image."""
        return [option for folder in self._replaced for option in ("--remount-ro", "/" + "/".join(folder))]

    def _make_room(self, path: str) -> tuple[str, ...]:
        try:
            parts = self._follow(path)
            if not parts or parts[0] in OURS:
                return parts
            there = next(n for n in range(len(parts), -1, -1) if self._kind(parts[:n]))
        except OSError as error:
            raise SandboxError("sandbox.task_invalid", f"{path[:200]!r} cannot be in this image: {error}") from error
        if 0 < there < len(parts):
            if self._kind(parts[:there]) != stat.S_IFDIR:
                raise SandboxError("sandbox.task_invalid", f"{path[:200]!r} would be below a file of the image")
            self._replaced.add(parts[:there])
        return parts

    def _follow(self, path: str) -> tuple[str, ...]:
        done: list[str] = []
        todo = deque(path.split("/"))
        links = 0
        while todo:
            part = todo.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            if done[0] not in OURS and self._kind(done) == stat.S_IFLNK:
                links += 1
                if links > LINKS:
                    raise OSError("too many links")
                target = os.readlink(self._host(done))
                del done[-1:]
                if target.startswith("/"):
                    done.clear()
                todo.extendleft(reversed(target.split("/")))
        return tuple(done)

    def _kind(self, parts: Iterable[str]) -> int:
        """The type of what is there in the image, 0 if nothing is."""
        try:
            return stat.S_IFMT(os.lstat(self._host(parts)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _host(self, parts: Iterable[str]) -> str:
        return "/".join((self._root, *parts))

    def _entries(self, folder: tuple[str, ...], skip: tuple[str, ...] = ()) -> list[str]:
        made: list[str] = []
        names = sorted(os.listdir(self._host(folder)))
        if len(names) > ENTRIES:
            where = "/" + "/".join(folder)
            raise SandboxError(
                "sandbox.task_invalid",
                f"nothing can be added to {where[:200]!r} of the image, which has {len(names)} entries: make the"
                " folder when building the image",
            )
        for name in names:
            inside = "/" + "/".join((*folder, name))
            kind = self._kind((*folder, name))
            if name in skip:
                continue
            if kind == stat.S_IFLNK:
                made += ["--symlink", os.readlink(self._host((*folder, name))), inside]
            elif kind in (stat.S_IFDIR, stat.S_IFREG):
                made += ["--ro-bind", self._place + inside, inside]
        return made
