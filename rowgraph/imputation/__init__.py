"""Filling in cells (Vogel et al. 2023)."""
