"""Anchor IDLs, spec 0.1.0: from the file to instructions, records, events and errors of a program."""
