"""Definitions that follow the profile's file while the UI is up.

An edit is loaded by itself, so that what it puts out of date shows. A file that cannot be used
changes nothing: the last good settings, kept in the home, stay in force for the UI and for every
process of its runs, and the sensor's page says what is wrong.
"""

import json
import os
import threading
import urllib.request
from pathlib import Path

import dagster as dg

from pipeline.environment import Environment, home_of
from rowgraph.artifacts import write_json
from rowgraph.profiles import Profile, SettingsError

NAME = "follow_profile"
LOCATION = "rowgraph"  # as in workspace.yaml
SECONDS = 10
RELOAD = ("mutation Reload($name: String!) {"
          " reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }")


def read_or_kept() -> tuple[Environment, str | None]:
    """The environment as it is, or with the profile's last good settings, and what is wrong with
    the newest ones.

    Raises:
        SettingsError: the profile cannot be used and never could in this home.
    """
    given = os.environ.get("ROWGRAPH_PROFILE") or "demo"
    kept = home_of() / "last_good" / f"{Path(given).stem}.json"
    try:
        environment = Environment.read()
    except SettingsError as error:
        profile = _last_good(kept)
        if profile is None:
            raise
        return Environment.of(profile, given), str(error)
    if _last_good(kept) != environment.profile:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, environment.profile.model_dump(mode="json"))
    return environment, None


def _last_good(kept: Path) -> Profile | None:
    try:
        return Profile.model_validate(json.loads(kept.read_text()))
    except (OSError, ValueError):
        return None


def follow_profile(loaded: Environment, broken: str | None) -> dg.SensorDefinition:
    """On by default; free.

    Args:
        loaded: what the definitions were made from.
        broken: what is wrong with newer settings, if the last good ones are in force.
    """
    follower = Follower(loaded, broken)

    @dg.sensor(name=NAME, minimum_interval_seconds=SECONDS,
               default_status=dg.DefaultSensorStatus.RUNNING,
               description="Loads the definitions anew when the profile's file was edited. While "
               "it cannot be used the last good settings stay in force, and this says why.")
    def _follow() -> dg.SkipReason:
        return dg.SkipReason(follower.look())

    return _follow


class Follower:
    """Compares the profile's file with what is loaded."""

    def __init__(self, loaded: Environment, broken: str | None):
        self.loaded, self.broken = loaded, broken

    def look(self) -> str:
        """Ask the UI to load the definitions anew if they are not the file's.

        Returns:
            What was found.

        Raises:
            SettingsError: the file cannot be used.
        """
        try:
            now = Environment.read().profile
        except SettingsError as error:
            raise SettingsError(f"{error}; until it is mended the last good settings are in "
                                "force") from None
        if now == self.loaded.profile and self.broken is None:
            return f"{self.loaded.profile.name} is as it was loaded"
        later = threading.Timer(0.2, reload_definitions, [self.loaded.ui])
        later.start()  # once this look is over: the reload ends this process
        return f"{now.name} was edited; loading the definitions anew, by {self.loaded.ui}"


def reload_definitions(ui: str) -> None:
    """What the button "Reload definitions" does; silent where no UI answers, as the next look asks
    again."""
    body = json.dumps({"query": RELOAD, "variables": {"name": LOCATION}}).encode()
    request = urllib.request.Request(f"{ui}/graphql", body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=120).read()
    except OSError as error:
        print(f"rowgraph: the Dagster UI at {ui} did not load the definitions anew: {error}; "
              "press \"Reload definitions\", or set ROWGRAPH_UI to its address", flush=True)
