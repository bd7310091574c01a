"""Tables and keys as a Mermaid diagram, for Markdown."""

from __future__ import annotations

import re

from rowgraph.importing.decisions import Decisions, Inherited


def mermaid(decisions: Decisions) -> str:
    """An entity-relationship diagram: keys and times of each table, a line for each foreign key."""
    lines = ["erDiagram"]
    for table, decided in decisions.tables.items():
        lines.append(f"  {_word(table)} {{")
        fkeys = {c for link in decided.fkeys for c in link.columns}
        for column in dict.fromkeys((*decided.pkey, *sorted(fkeys))):
            marks = ", ".join(m for m, of in (("PK", decided.pkey), ("FK", fkeys)) if column in of)
            lines.append(f"    key {_word(column)} {marks}")
        if isinstance(decided.time, str):
            lines.append(f"    time {_word(decided.time)}")
        elif isinstance(decided.time, Inherited):
            lines.append(f'    time of_{_word(decided.time.of)} "its parent\'s"')
        lines.append("  }")
    for table, decided in decisions.tables.items():
        for link in decided.fkeys:
            label = ", ".join(link.columns).replace('"', "'")
            lines.append(f'  {_word(link.parent)} ||--o{{ {_word(table)} : "{label}"')
    return "\n".join(lines)


def _word(name: str) -> str:
    """As Mermaid takes names: letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_") or "_"
