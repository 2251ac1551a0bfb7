"""From a task to its container. Pure, but for the look at an image's own wishes that is passed in."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypernode.agent.sandboxes.base import Limits, SandboxError, Task
from hypernode.agent.sandboxes.engine import world
from hypernode.agent.sandboxes.engine.calls import ImageWants
from hypernode.agent.sandboxes.engine.container import Container, Volume
from hypernode.agent.sandboxes.engine.find import Engine

OWN_KERNEL_THREADS: Final = 256
"""gVisor's own threads count as the task's. What a task may have comes on top, and its kernel does not count that by
itself: a fork bomb there ends at both together, and with the whole task."""
IMAGE_VOLUMES: Final = 32
HOLDER: Final = ("/usr/bin/sleep", "infinity")
HOLDER_LIMITS: Final = Limits(
    cpu_milli=100,
    memory_bytes=16 << 20,
    processes=16,
    tmp_bytes=4096,
    disk_bytes=4096,
    files=1,
    log_bytes=1,
    wall_ms=1,
)


def processes(engine: Engine, task: Task) -> int:
    """How many threads the host is to let a task's container have."""
    return task.limits.processes + (OWN_KERNEL_THREADS if engine.own_kernel else 0)


def of_task(
    engine: Engine,
    task: Task,
    *,
    name: str,
    image: str,
    wants: ImageWants,
    user: int,
    empty: Path,
    volumes: Sequence[Volume],
    covered: Sequence[Volume],
    network: str,
    parent: str,
    seccomp: str,
    labels: dict[str, str],
) -> Container:
    """The container of a task. What its image `wants` and a task does not get, it is denied by name."""
    environment = world.environment(task)
    named = {pair.split("=", 1)[0] for pair in wants.env or ()}
    return Container(
        name=name,
        image=image,
        runtime=engine.runtime,
        argv=task.argv,
        environment=environment,
        hidden=tuple(sorted(named - environment.keys())),
        covered=tuple(covered),
        user=user,
        working_folder=task.working_folder,
        binds=tuple(world.binds(task, empty)),
        volumes=tuple(volumes),
        network=network,
        limits=task.limits,
        processes=processes(engine, task),
        parent=parent,
        seccomp=seccomp,
        labels=labels,
    )


def covered(wants: ImageWants, task: Task, volumes: Sequence[Volume]) -> list[str]:
    """The folders for which an image wants volumes of its own, and which the task has not for something else.

    Raises SandboxError `sandbox.task_invalid` if there are too many, or one that is no folder.
    """
    folders = {posixpath.normpath(folder) for folder in wants.volumes or ()}
    if len(folders) > IMAGE_VOLUMES:
        raise SandboxError("sandbox.task_invalid", f"the image has more than {IMAGE_VOLUMES} volumes")
    if any(not folder.startswith("/") or folder == "/" or folder.startswith("/proc") for folder in folders):
        raise SandboxError("sandbox.task_invalid", "a volume of the image is at no place for one")
    return sorted(folders - {volume.target for volume in volumes} - {mount.target for mount in task.mounts})


def network_holder(
    engine: Engine,
    *,
    name: str,
    image: str,
    user: int,
    empty: Path,
    parent: str,
    seccomp: str,
    labels: dict[str, str],
) -> Container:
    """A container that does nothing but have a network of its own, for a task's container to join before it starts:
    Docker makes networks at the start only, and the task's must be listened in before."""
    task = Task(
        key="holder",
        argv=HOLDER,
        environment={},
        working_folder="/",
        mounts=(),
        limits=HOLDER_LIMITS,
        outputs=False,
    )
    return of_task(
        engine,
        task,
        name=name,
        image=image,
        wants=ImageWants(),
        user=user,
        empty=empty,
        volumes=(),
        covered=(),
        network="",
        parent=parent,
        seccomp=seccomp,
        labels=labels,
    )
