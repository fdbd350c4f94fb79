"""Two hosts of two workers each, one pool in Redis: what Poe saw of them, and what clients got."""
