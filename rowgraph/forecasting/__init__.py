"""Forecast questions, the row-and-graph encoder that answers them, and training on the past."""
