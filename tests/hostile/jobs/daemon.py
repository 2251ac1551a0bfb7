"""Leave a process behind: forked twice, its own session, nobody's child."""

import os
import sys
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.argv[1], "-c", "import time; time.sleep(120)"])
    os._exit(0)
time.sleep(0.3)
print("main exits")
