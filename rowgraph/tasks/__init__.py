"""Tasks: kinds, label tables, and what a seed may see."""
