"""Adaptation to one task of a held-out database (Sections 4.4 and 5)."""
