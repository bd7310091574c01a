"""Baselines on the same label rows: what a model has to beat."""
