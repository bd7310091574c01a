"""Side-by-side measurements, each one command (`make bench-…`); see each module's docstring."""
