import os
import time

count = 0
try:
    while count < 5000:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        count += 1
    print("UNCONTAINED", flush=True)
except OSError as error:
    print("stopped at", count, error.strerror, flush=True)
os._exit(0)
