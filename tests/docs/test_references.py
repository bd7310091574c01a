"""The generated references say everything that there is."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from docs.generating import assets_page, commands_page, settings_page
from pipeline.cli import app
from rowgraph.profiles import STAGES, Profile
from rowgraph.settings import Section

ROOT = Path(__file__).resolve().parents[2]


def test_the_newest_version_of_the_changelog_is_the_packages():
    versions = re.findall(r"^## (\d\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(),
                          re.MULTILINE)
    assert versions[0] == version("rowgraph")


@pytest.fixture(scope="module")
def settings():
    return settings_page.text()


def test_every_setting_has_a_line_and_says_what_it_is(settings):
    for name, field in Profile.model_fields.items():
        if not isinstance(field.default, Section):
            continue
        section = settings.split(f"## `{name}` ")[1].split("\n## ")[0]
        for setting in type(field.default).model_fields:
            line = re.search(rf"^\| `{setting}`.*$", section, re.MULTILINE)[0]
            assert line.split(" | ")[-1].strip(" |"), f"{name}.{setting} has no comment"


def test_defaults_demos_values_and_the_papers_sections_stand_in_the_line(settings):
    assert "| `epochs` | `50` | `2` | 4.3.1 |" in settings
    assert "| `fan_out` | `[20, 10]` | `[8, 4]` | 4.3.2 |" in settings
    assert "| `device` † | `auto` |" in settings


def test_every_stage_is_described_with_its_checks():
    page = assets_page.text()
    for stage in STAGES:
        assert f"## `{stage}` " in page, stage
    assert "## `source` " in page
    assert "| `no_heldout_rows` |" in page


def test_every_command_and_option_is_on_the_page():
    page = commands_page.text()
    for name, command in typer.main.get_command(app).commands.items():
        part = page.split(f"## `rowgraph {name}`")[1].split("\n## ")[0]
        for param in command.params:
            shown = param.opts[-1] if param.param_type_name == "option" else param.name
            assert shown in part, f"{name} {shown}"


def test_what_re_runs_is_said_of_every_section():
    page = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+)", page.split("## What re-runs")[1], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    assert named >= {*STAGES, "databases", "splits", "sage_sweep", "task_settings"} - {
        "entity_graph"}  # has no settings
