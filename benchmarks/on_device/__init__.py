"""What `benchmarks.device` measures, a module for each part.

Weights, cells, vectors and graphs are random: they cost what real ones cost. All work goes through
the project's own code, with the settings of the `paper` profile.
"""
