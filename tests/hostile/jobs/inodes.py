import os

count = 0
try:
    while count < 300_000:
        os.close(os.open(f"/out/{count}", os.O_CREAT | os.O_WRONLY))
        count += 1
    print("UNBOUNDED", count)
except OSError as error:
    print("stopped at", count, error.strerror)
