import os

block = b"x" * (1 << 20)
for number in range(10_240):
    os.write(1 + number % 2, block)
