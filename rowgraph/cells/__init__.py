"""What a row looks like as numbers: kinds of column, scales fitted on the past, the store."""
