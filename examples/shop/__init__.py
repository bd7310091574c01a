"""From a shop in PostgreSQL to a list of who will not order again: `python -m examples.shop`."""
