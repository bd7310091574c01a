"""Window features, strictly as of each seed."""
