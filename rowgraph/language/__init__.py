"""The row language model: vocabulary, masking, fine-tuning, encoding, embedding health."""
