"""Rows: which are drawn, how each becomes text, and to which split it belongs."""
