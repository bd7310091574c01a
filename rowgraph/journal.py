"""What is done of a long list, a line each, so that an interrupted run goes on behind it."""

import json
from pathlib import Path
from typing import Any


class Journal:
    """A file of JSON lines; each line is on disk before the next piece is begun.

    Args:
        path: may exist. A last line that was cut off counts as not written.
    """

    def __init__(self, path: Path):
        self._path = path
        written = path.read_bytes() if path.exists() else b""
        whole = written[:written.rfind(b"\n") + 1]
        self.lines: list[Any] = [json.loads(line) for line in whole.splitlines()]
        if whole != written:
            path.write_bytes(whole)

    def add(self, line: Any) -> Any:
        """Write a line; returns it as it is found again."""
        text = json.dumps(line)
        with open(self._path, "a", encoding="ascii") as file:
            file.write(f"{text}\n")
        self.lines.append(json.loads(text))
        return self.lines[-1]
