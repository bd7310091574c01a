"""RowGraph's own model of a task: several small parts, and their blend."""
