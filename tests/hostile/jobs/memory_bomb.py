held = []
for step in range(200):
    held.append(bytearray(b"\1" * (8 << 20)))
    print("MiB", (step + 1) * 8, flush=True)
print("UNCONTAINED")
