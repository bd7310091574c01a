"""Training the language model with the graph network that reads it (docs/decisions/joint.md)."""
