import os

for target in (os.getppid(), 1, -1):
    try:
        os.kill(target, 9)
        print("kill", target, "ok", flush=True)
    except OSError as error:
        print("kill", target, error.strerror, flush=True)
