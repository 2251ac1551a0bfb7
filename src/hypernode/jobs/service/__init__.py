"""The use cases of jobs, one a file: submit, lease, end, cancel, read, and the feed of events."""
