"""Children that fork in turn and never stop trying: killing them one by one would never end."""

import contextlib
import os

os.write(1, b"running\n")
while True:
    with contextlib.suppress(OSError):
        os.fork()
