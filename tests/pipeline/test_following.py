"""Definitions follow the profile's file; a broken one leaves the last good settings in force."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline import following
from pipeline.assembly import build_definitions
from pipeline.following import Follower, follow_profile, read_or_kept
from rowgraph.profiles import SettingsError

BROKEN = "report: {titel: mine}\n"


@pytest.fixture
def profile(profile_path, tmp_path, monkeypatch):
    """A profile's file that this process was started with."""
    path = tmp_path / "mine.yaml"
    path.write_text(profile_path.read_text())
    monkeypatch.setenv("ROWGRAPH_PROFILE", str(path))
    monkeypatch.setenv("ROWGRAPH_HOME", str(tmp_path / "home"))
    return path


@pytest.fixture
def asked(monkeypatch):
    """What the Dagster UI is asked for, by a server that stands for it."""
    heard, done = [], threading.Event()

    class Page(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            heard.append(json.loads(body))
            done.set()

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ROWGRAPH_UI", f"http://127.0.0.1:{server.server_port}")
    heard.append(done)
    yield heard
    server.shutdown()


def edit(profile, text):
    profile.write_text(profile.read_text() + text)


def test_an_untouched_profile_asks_for_nothing(profile, asked):
    follower = Follower(*read_or_kept())
    assert follower.look() == "mine is as it was loaded"
    assert len(asked) == 1


def test_an_edit_asks_the_ui_to_load_the_definitions_anew(profile, asked):
    follower = Follower(*read_or_kept())
    edit(profile, "report: {title: edited}\n")
    assert "was edited" in follower.look()
    assert asked[0].wait(10)
    assert asked[1]["query"].startswith("mutation")
    assert asked[1]["variables"] == {"name": "rowgraph"}


def test_white_space_and_comments_ask_for_nothing(profile, asked):
    follower = Follower(*read_or_kept())
    edit(profile, "\n# a thought\n")
    assert follower.look() == "mine is as it was loaded"


def test_a_broken_profile_is_an_error_of_the_sensor_until_it_is_mended(profile):
    follower, whole = Follower(*read_or_kept()), profile.read_text()
    edit(profile, BROKEN)
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"titel.*last good settings are in force"):
            follower.look()
    profile.write_text(whole)
    assert follower.look() == "mine is as it was loaded"


def test_while_the_profile_is_broken_runs_use_the_last_good_settings(profile):
    good, _ = read_or_kept()
    edit(profile, BROKEN)
    kept, broken = read_or_kept()
    assert kept == good
    assert "titel" in broken


def test_a_profile_that_was_never_good_here_is_refused(profile):
    edit(profile, BROKEN)
    with pytest.raises(SettingsError, match="titel"):
        read_or_kept()


def test_last_good_settings_that_are_damaged_are_not_used_and_written_anew(profile, tmp_path):
    good, _ = read_or_kept()
    kept, whole = next((tmp_path / "home/last_good").iterdir()), profile.read_text()
    kept.write_text("{")
    edit(profile, BROKEN)
    with pytest.raises(SettingsError, match="titel"):
        read_or_kept()
    profile.write_text(whole)
    assert read_or_kept() == (good, None)
    assert json.loads(kept.read_text())["name"] == "mine"


def test_a_profile_that_was_mended_back_to_what_it_was_is_loaded_anew(profile, asked):
    whole = profile.read_text()
    read_or_kept()
    edit(profile, BROKEN)
    follower = Follower(*read_or_kept())  # the UI was reloaded by hand meanwhile
    profile.write_text(whole)
    follower.look()
    assert asked[0].wait(10)


def test_the_sensor_is_on_from_the_start_beside_the_one_that_is_not(profile):
    environment, broken = read_or_kept()
    repository = build_definitions(environment, sensors=[
        follow_profile(environment, broken)]).get_repository_def()
    assert {name: repository.get_sensor_def(name).default_status.value for name in (
        following.NAME, "refresh_out_of_date")} == {
            "follow_profile": "RUNNING", "refresh_out_of_date": "STOPPED"}


def test_no_ui_to_ask_is_said_with_the_next_move(capsys):
    following.reload_definitions("http://127.0.0.1:9")
    assert "ROWGRAPH_UI" in capsys.readouterr().out
