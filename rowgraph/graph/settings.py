"""Settings of the relational entity graph."""

from __future__ import annotations

from rowgraph.settings import Section


class EntityGraphSettings(Section):
    """The relational entity graph has no choices of its own: structure and times are facts."""
