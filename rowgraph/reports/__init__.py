"""Tables, figures and the page: what was measured, for people."""
