"""Worked examples, each a command of its own."""
