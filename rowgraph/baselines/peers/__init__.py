"""Models of others that can be run here, on the same label rows, regimes and folds."""
