"""What a run will take: sizes and formulas, and the throughput of this machine, measured."""
