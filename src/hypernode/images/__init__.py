"""Container images: how they are named, and what a registry says of them."""
