"""What the pages print can be typed: commands, options, settings, queries, targets of make."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from pipeline.cli import app
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.profiles import SettingsError, load_profile
from rowgraph.tasks.queries.notation import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES = [page for page in PAGES if page.parent.name != "decisions" and page.name != "log.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLI = typer.main.get_command(app)
PROFILE_KEYS = ("databases:", "extends:")


def name_of(page):
    return str(page.relative_to(ROOT))


def spans(page):
    """Code inside sentences."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text()))


def command_lines(page):
    """Every line that begins with `rowgraph` in a block for the terminal."""
    for kind, block in BLOCK.findall(page.read_text()):
        if kind in ("", "sh", "bash"):
            lines = []
            for line in block.replace("\\\n", " ").splitlines():
                if lines and lines[-1].count('"') % 2:  # inside a text
                    lines[-1] += " " + line.strip()
                else:
                    lines.append(line)
            yield from (line for line in lines if line.startswith("rowgraph "))


def refused(words):
    """Why the command line would not begin such a command; None where it would."""
    name, *rest = words
    if name not in CLI.commands:
        return f"no command {name}"
    try:
        CLI.commands[name].make_context(name, rest)
    except Exception as error:
        return f"{type(error).__name__} {error}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_can_be_typed(page):
    for line in command_lines(page):
        words = shlex.split(line.replace("…", "").split(" # ")[0])[1:]
        assert refused(words) is None, line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_inside_sentences_exist(page):
    for span in spans(page):
        if not re.match(r"rowgraph [a-z]", span):
            continue
        name = span.split()[1]
        assert name in CLI.commands, span
        known = {option for param in CLI.commands[name].params for option in param.opts
                 + param.secondary_opts} | {"--help"}
        asked = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", re.sub(r'"[^"]*"', "", span)))
        assert asked <= known, span


def test_a_command_that_does_not_exist_is_noticed():
    assert refused(["runn"]) == "no command runn"
    assert "force" in refused(["plan", "--force"])
    assert refused(["predict", "shop/churn", "--explain"]) is None


def check_settings(text, folder):
    """Read YAML as (part of) a profile."""
    content = yaml.safe_load(text)
    if isinstance(content, list):
        for entry in content:
            DatabaseSettings.model_validate(entry)
        return
    whole = text if text.lstrip().startswith(PROFILE_KEYS) else f"extends: f1\n{text}"
    (folder / "profile.yaml").write_text(whole)
    load_profile(folder / "profile.yaml")


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_settings_on_a_page_are_settings(page, tmp_path):
    sections = set(load_profile("demo").model_dump())
    for kind, block in BLOCK.findall(page.read_text()):
        if kind == "yaml":
            check_settings(block, tmp_path)
    for span in spans(page):
        found = re.match(r"(\w+): [{\[].*[}\]]$", span)
        if found and found[1] in sections:
            check_settings(span, tmp_path)


def test_a_setting_that_does_not_exist_is_noticed(tmp_path):
    with pytest.raises(SettingsError, match="sage_wights"):
        check_settings("sage_wights: {hidden: 3}", tmp_path)


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_a_query_on_a_page_can_be_read(page):
    blocks = [block for kind, block in BLOCK.findall(page.read_text())
              if block.startswith("PREDICT")]
    quoted = re.findall(r'"(PREDICT[^"…]+)"', page.read_text())
    whole = [span for span in spans(page) if re.match(r"PREDICT .*FOR EACH \w+\.\w+$", span)]
    for query in (*blocks, *quoted, *whole):
        parse(query)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_what_a_file_outside_the_site_links_to_exists(name):
    for link in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / name).read_text()):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_target_of_make_exists(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    asked = set(re.findall(r"`make ([a-z0-9-]+)`", text)) | set(
        re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE))
    assert asked <= targets
