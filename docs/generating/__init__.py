"""What the documentation site makes when it is built: references, notebooks as pages, figures."""
