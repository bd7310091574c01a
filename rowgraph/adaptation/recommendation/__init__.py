"""Recommendation: a source row scores destination rows (docs/decisions/recommendation.md)."""
