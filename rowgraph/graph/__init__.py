"""The relational entity graph: structure, times and temporal neighbour sampling."""
