"""What a process is told from outside: the profile, the home, where databases and MLflow are."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from pipeline.home import HomeError, make_home
from resources.databases import extra_tasks_of
from rowgraph.profiles import Profile, SettingsError, load_profile
from rowgraph.randomness import digest
from rowgraph.remote import Remote
from rowgraph.shared_store import share
from rowgraph.shipped import shipped

UI, MLFLOW_UI = "http://127.0.0.1:3000", "http://127.0.0.1:5000"  # as `rowgraph ui` has them
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Environment:
    """One profile in one home.

    Args:
        profile: read and validated.
        home: artifacts, handles, Dagster's and MLflow's databases (ROWGRAPH_HOME, `.rowgraph`);
            where ROWGRAPH_HOME is a URL, this machine's part of it (ROWGRAPH_CACHE).
        databases: a folder of RelBench 3 folders (ROWGRAPH_DATABASES).
        tracking_uri: an MLflow server (MLFLOW_TRACKING_URI); None is SQLite below `home`.
        hub: whether databases may come from the Hugging Face Hub (HF_HUB_OFFLINE unset).
        given: how the profile was named: its name, or the path of its file.
        ui: address of the Dagster UI (ROWGRAPH_UI), for links.
        mlflow_ui: address of the MLflow UI (ROWGRAPH_MLFLOW_UI), for links.
    """

    profile: Profile
    home: Path
    databases: Path | None = None
    tracking_uri: str | None = None
    hub: bool = True
    given: str | None = None
    ui: str = UI
    mlflow_ui: str = MLFLOW_UI

    @classmethod
    def read(cls, profile: str | None = None) -> "Environment":
        """From environment variables; `profile` wins over ROWGRAPH_PROFILE and `demo`.

        Raises:
            SettingsError: the profile cannot be used, or a folder that a variable names.
        """
        given = profile or os.environ.get("ROWGRAPH_PROFILE") or "demo"
        return cls.of(load_profile(given), given)

    @classmethod
    def of(cls, profile: Profile, given: str) -> "Environment":
        """A profile that was read, in the places that environment variables name.

        Raises:
            SettingsError: a folder that a variable names cannot be used.
        """
        folder = os.environ.get("ROWGRAPH_DATABASES")
        if folder and not os.path.isdir(os.path.expanduser(folder)):
            raise SettingsError(f"ROWGRAPH_DATABASES: {folder[:200]} is no folder; set it to one "
                                "that holds RelBench 3 folders, or unset it")
        folder = folder or _beside(given, profile)
        return cls(
            profile,
            home_of(),
            Path(os.path.expanduser(folder)).resolve() if folder else None,
            os.environ.get("MLFLOW_TRACKING_URI") or None,
            os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0"),
            given,
            os.environ.get("ROWGRAPH_UI") or UI,
            os.environ.get("ROWGRAPH_MLFLOW_UI") or MLFLOW_UI,
        )

    def extra_tasks(self, database: str) -> tuple[Path | None, str | None]:
        """The tasks beside the profile, or beside one that it extends, for a database: their
        folder and fingerprint; None and None where there are none."""
        return extra_tasks_of(self.profile.folders, database)

    def variables(self) -> dict[str, str]:
        """The environment variables from which another process reads this environment."""
        file = self.given and self.given.endswith((".yaml", ".yml"))
        given = str(Path(self.given).expanduser().resolve()) if file else self.given
        found = {"ROWGRAPH_PROFILE": given, "ROWGRAPH_HOME": str(self.home),
                 "ROWGRAPH_DATABASES": self.databases and str(self.databases),
                 "MLFLOW_TRACKING_URI": self.tracking_uri, "ROWGRAPH_UI": self.ui,
                 "ROWGRAPH_MLFLOW_UI": self.mlflow_ui, "HF_HUB_OFFLINE": str(int(not self.hub))}
        return {name: value for name, value in found.items() if value}

    def instance_config(self) -> Path:
        """Write `<home>/dagster.yaml`: the project's, with the storage below this home.

        The UI gets the folder as DAGSTER_HOME; with the default home it is the very storage that
        the project's own dagster.yaml names.

        Raises:
            HomeError: the home cannot be used.
        """
        make_home(self.home)
        template = shipped("dagster.yaml")
        config = yaml.safe_load(template.read_text())
        config["storage"] = {"sqlite": {"base_dir": str(self.home / "dagster")}}
        path = self.home / "dagster.yaml"
        text = f"# Written from {template.parent.name}/dagster.yaml; edit that one.\n"
        text += yaml.safe_dump(config)
        try:
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            (self.home / "dagster").mkdir(exist_ok=True)
        except OSError as error:
            raise HomeError(f"ROWGRAPH_HOME: {error.filename} cannot be written "
                            f"({error.strerror}); mend its permissions, remove what is in its "
                            "place, or set ROWGRAPH_HOME to another folder") from None
        return path

    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance of this home, for a run in this process.

        Such a run takes no place in a pool: Dagster would spin on a core while it waits and hear
        no signal, and the place would outlive a killed process. The device's lock orders it.
        """
        path = self.instance_config()
        pools = {"concurrency": {"pools": {"granularity": "run", "default_limit": 1}}}
        return dg.DagsterInstance.from_ref(
            InstanceRef.from_dir(str(path.parent), overrides=pools))


def home_of() -> Path:
    """The home (ROWGRAPH_HOME), which may be yet to come, but nothing else than a folder; where it
    is a URL, this machine's folder for it (ROWGRAPH_CACHE, `.rowgraph/cache/<digest>`).

    Raises:
        SettingsError: it is something else.
        RemoteError: a URL that cannot be opened.
    """
    given = os.environ.get("ROWGRAPH_HOME") or ".rowgraph"
    if "://" not in given:
        return _folder("ROWGRAPH_HOME", given)
    Remote(given)
    home = _folder("ROWGRAPH_CACHE", os.environ.get("ROWGRAPH_CACHE")
                   or f".rowgraph/cache/{digest(given)[:16]}")
    try:
        share(home, given)
    except OSError as error:
        raise SettingsError(f"ROWGRAPH_CACHE: {error.filename} cannot be written "
                            f"({error.strerror}); set it to a folder of your own") from None
    return home


def _folder(variable: str, given: str) -> Path:
    path = Path(os.path.realpath(os.path.expanduser(given)))
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return path
        wrong = "is no folder"
    except FileNotFoundError:
        return path
    except OSError as error:
        wrong = f"cannot be a folder ({error.strerror})"
    raise SettingsError(f"{variable}: {given[:200]} {wrong}; set it to a folder of your own, or "
                        "unset it")


def _beside(given: str, profile: Profile) -> Path | None:
    """The folder of a profile's file, if one of its databases lies beside it."""
    folder = Path(given).expanduser().parent
    if not given.endswith((".yaml", ".yml")) or not any(
            (folder / d.name / "manifest.yaml").exists() for d in profile.databases):
        return None
    return folder
