"""Relational databases in RelBench 3 folders: resolving, building, checking, truncating."""
