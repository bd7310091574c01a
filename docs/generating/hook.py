"""MkDocs calls these: pages that are made from the code, figures, and the list of decisions."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
FIGURE = re.compile(r"^<!-- figure: (\w+) -->$", re.MULTILINE)
RECORD = re.compile(r"`docs/(decisions/[\w-]+\.md|log\.md)`|(?<![\w/(])docs/(decisions/[\w-]+\.md)")

LOG = logging.getLogger("mkdocs.hooks.rowgraph")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(ROOT))


def decisions() -> list[Path]:
    """The records, in alphabetical order of their files."""
    return sorted((ROOT / "docs" / "decisions").glob("*.md"))


def title_of(page: Path) -> str:
    """The first heading of a page."""
    return re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)[1]


def generated() -> dict[str, str]:
    """Pages by their path on the site."""
    from docs.generating import assets_page, commands_page, notebook_page, settings_page

    records = "\n".join(f"- [{title_of(page)}]({page.name})" for page in decisions())
    return {
        "decisions/index.md": "# Decisions\n\nA page for each choice that the paper leaves open: "
                              f"the question, the choice, why, and what was left.\n\n{records}\n",
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "reference/settings.md": settings_page.text(),
        "reference/assets.md": assets_page.text(),
        "reference/commands.md": commands_page.text(),
        **{f"examples/{path.stem}.md": notebook_page.text(path)
           for path in sorted((ROOT / "examples").glob("*.ipynb"))}}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every decision in the navigation; warn of public names without a docstring."""
    from docs.generating.docstrings import silent

    for name in silent(ROOT):
        LOG.warning("%s has no docstring", name)
    for entry in config.nav:
        if "Decisions" in entry:
            entry["Decisions"] += [{title_of(page).split(":")[0]: f"decisions/{page.name}"}
                                   for page in decisions()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page, config: MkDocsConfig, files: Files) -> str:
    """Put figures in the place of `<!-- figure: name -->` and links in that of record names; keep
    means and their spreads on one line."""
    from docs.generating import figures

    text = linked(markdown, page.file).replace(" ± ", "\u00a0±\u00a0")
    return FIGURE.sub(lambda found: getattr(figures, found[1])(), text)


def linked(markdown: str, file: File) -> str:
    """Names of decision records outside code blocks and links, as links."""
    up = "../" * file.src_uri.count("/")

    def link(found: re.Match) -> str:
        record = found[1] or found[2]
        return f"[{Path(record).stem}]({up}{record})"

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    for i in range(0, len(parts), 2):
        parts[i] = RECORD.sub(link, parts[i])
    return "".join(parts)
