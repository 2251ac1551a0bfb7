"""Container images on a node that has no engine: fetched, unpacked, kept while wanted."""
