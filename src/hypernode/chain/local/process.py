"""Running a local chain from elsewhere: as a child process, in the environment that it pins."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from hypernode.chain.local.environment import ensure
from hypernode.chain.local.settings import Settings
from hypernode.kernel.errors import BY_CODE, Unavailable

START_S: Final = 60.0
STOP_S: Final = 5.0


class LocalChain:
    """A local chain as a child process, from `start` to `stop`; also as a context manager.

    `url` and `websocket_url` are where it answers, `genesis` is its genesis hash; all are empty until it runs.
    """

    def __init__(self, settings: Settings | None = None, home: Path | None = None) -> None:
        """`home`: where its environment is kept, `$HYPERNODE_HOME` or `~/.hypernode` by default. Port 0 in the settings
        takes free ports."""
        self.settings = settings or Settings(port=0)
        self._home = home
        self.process: subprocess.Popen[bytes] | None = None
        self.url = self.websocket_url = self.genesis = ""

    def start(self) -> None:
        """Start, and return once it answers. Raises Unavailable if it does not, or if its environment cannot be had,
        and InvalidInput for settings that it refuses."""
        packages = ensure(self._home)
        reading, writing = os.pipe()
        # The packages it pins come before those of this environment, which it shares otherwise.
        paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self.process = subprocess.Popen(
                [
                    # -P: nothing is imported from the folder that we happen to be in.
                    *(sys.executable, "-P", "-m", "hypernode.chain.local", "--ready-fd", str(writing)),
                    self.settings.to_json(),
                ],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=(writing,),
                stdin=subprocess.PIPE,  # it stops when this closes, so that it never outlives us
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        try:
            self._await_ready(reading)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(reading)

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return 0 if self.process is None else self.process.wait()

    def stop(self) -> None:
        """Stop it; what it keeps is then on disk. Idempotent."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_ready(self, descriptor: int) -> None:
        line, deadline = b"", time.monotonic() + START_S
        while not line.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Unavailable(f"the local chain did not start within {START_S:.0f} s")
            if not (part := os.read(descriptor, 4096)):
                raise Unavailable("the local chain ended while it started; its messages say why")
            line += part
        ready = msgspec.json.decode(line, type=_Ready)
        if ready.code:
            raise BY_CODE.get(ready.code, Unavailable)(ready.detail)
        self.url, self.websocket_url, self.genesis = ready.url, ready.websocket_url, ready.genesis


class _Ready(msgspec.Struct, frozen=True):
    """As `serve.Ready`, which cannot be imported without the chain's own packages."""

    url: str = ""
    websocket_url: str = ""
    genesis: str = ""
    code: str = ""
    detail: str = ""
