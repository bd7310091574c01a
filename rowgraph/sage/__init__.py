"""The shared GraphSAGE model and its masked value reconstruction (Sections 4.1 and 4.3.2)."""
