"""The command reference, from what `--help` says."""

from __future__ import annotations

import re

import typer
from typer.cli import get_docs_for_click

from docs.generating.markdown import table
from pipeline.cli import app

HEAD = """# Commands

`rowgraph COMMAND --help` says the same in the terminal. An expected error is one line on standard
error and exit status 1.
"""


def text() -> str:
    """The page."""
    command = typer.main.get_command(app)
    said = get_docs_for_click(obj=command, ctx=typer.Context(command), name="rowgraph")
    head, _, commands = said.partition("\n## ")
    environment = head[head.index("ROWGRAPH_PROFILE"):].split("\n")[0]
    overview = table(("command", "does"), [
        (f"[`rowgraph {name}`](#rowgraph-{name})", found.help.split("\n\n")[0])
        for name, found in command.commands.items()])
    return (f"{HEAD}{environment}\n\n{overview}\n## "
            + re.sub(r"```console\n\$ ", "```text\n", commands))
