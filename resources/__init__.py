"""What is reached: compute, databases, the artifact store, experiment tracking, the terminal."""
