"""Training shared by workers that take the steps of one process (docs/decisions/parallel.md)."""
