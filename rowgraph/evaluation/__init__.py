"""Scoring, statistics, transfer: asks, and never decides what a model sees."""
