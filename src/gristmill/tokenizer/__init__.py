"""BPE training and encoding, exports that other tools load, token shards. Stands on core only."""
