"""What every room stands on, with no I/O: ids, money, errors, limits, canonical JSON, keys and signatures."""
