"""Each training is judged once, and the alias moves unless the new one is worse."""

import shutil

import numpy as np
import pytest

from resources.champions import Champions, needed, served
from resources.registry import files_of, model_name
from resources.store import handle_path
from resources.tracking import TrackingResource
from rowgraph.artifacts import ArtifactStore, write_json
from rowgraph.databases.database import Database
from rowgraph.evaluation.settings import EvaluationSettings
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.predictions import Run, write_predictions
from tests.pipeline.conftest import write_league

EVALUATION = EvaluationSettings(bootstrap=100).effective()
MODEL = "own_past_weights/tiny_league"
KEY = tuple(MODEL.split("/"))


class Home:
    """A home in which one model is trained and asked, as the pipeline leaves it behind."""

    def __init__(self, home, registry, profile):
        self.home, self.registry, self.profile, self.runs = home, registry, profile, 0
        self.store = ArtifactStore(home)
        self.champions = Champions(home, profile)
        self.tracking = self.tracked()
        self.name = model_name(profile, KEY)
        self.source, _ = self.store.build(("source", "tiny_league"), 1, {}, {}, _write_source)

    def tracked(self, **settings):
        """MLflow as the pipeline sees it; one database, whose making takes seconds, for all."""
        return TrackingResource(home=str(self.home), uri=self.registry, **settings)

    def train(self, weights, strength, recipe="a"):
        """Train; predictions know so much of the label. Returns the decision."""
        self.runs += 1
        run = {"dagster_run_id": f"run-{self.runs}"}
        model, _ = self.store.build(KEY, 1, {"recipe": recipe}, {}, _write(weights), force=True,
                                    origin=lambda: run)
        path = handle_path(self.home, self.profile, KEY)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"key": list(KEY), "recipe": model.recipe})
        metrics, _ = self.store.build(
            ("rowgraph_metrics", "tiny_league", "wins"), 1, {"label_share": 1, "label_draw": 0},
            {"source": self.source.data_version, "own_past_weights": model.data_version},
            lambda draft: _ask(self.source.folder, strength, draft))
        self.inputs = {"source__tiny_league": self.source,
                       "rowgraph_metrics__tiny_league__wins": metrics}
        return model

    def report(self):
        """What the report does; returns the record and whether something was compared."""
        found = self.champions.candidates(self.inputs)
        versions = self.tracking.versions(self.profile, {n: c.artifact for n, c in found.items()})
        records, compared = self.champions.judge(found, versions, EVALUATION)
        self.champions.write({**self.champions.read(), **records})
        self.tracking.crown(self.profile, records)
        return records.get(MODEL), compared

    def judge(self, *args, **settings):
        """Train and report; returns the decision."""
        self.train(*args, **settings)
        return self.report()[0]["decision"]

    def champion(self):
        """The version that MLflow calls champion."""
        return self.tracking.client().get_model_version_by_alias(self.name, "champion")


def _write_source(draft):
    write_league(draft.folder)
    return {}


def _write(weights):
    def make(draft):
        draft.path("weights.bin").write_text(weights)
        return {}
    return make


def _ask(source, strength, draft):
    task = load_task(Database.open(source), "wins")
    random = np.random.default_rng(0)
    write_predictions(task, {Run("rolling", "rowgraph", 0): {
        split: strength * task.labels(split).target
        + (1 - strength) * random.random(len(task.labels(split)))
        for split in ("val", "test")}}, draft.path("predictions.parquet"))
    return {}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture
def home(tmp_path, registry, request):
    return Home(tmp_path, registry, request.node.name)


def test_the_first_that_is_measured_is_champion_with_nothing_to_compare_with(home):
    decision = home.judge("good", 0.9)
    assert decision["decision"] == "crowned"
    assert decision["reason"].startswith("nothing to compare with: it is the first")
    assert home.champion().version == 1


def test_a_worse_training_does_not_move_the_champion_and_a_better_one_does(home):
    home.judge("fair", 0.3)
    worse = home.judge("bad", 0.0, recipe="b")
    assert worse["decision"] == "stays"
    assert worse["reason"].startswith("worse beyond its interval: tiny_league/wins under rolling")
    assert home.champion().version == 1
    better = home.judge("good", 0.9, recipe="c")
    assert (better["decision"], better["version"], better["against"]) == ("crowned", "3", "1")
    assert better["rows"][0]["old"] < better["rows"][0]["new"]
    assert home.champion().version == 3
    tags = home.champion().tags
    assert (tags["decision"], tags["against"], tags["unchanged"]) == ("crowned", "1", "false")
    assert tags["reason"] == better["reason"]


def test_the_newest_is_asked_unless_it_was_found_to_be_worse(home):
    fair = home.train("fair", 0.3)
    assert served(home.home, home.profile, fair) is fair  # nobody knows what it is worth
    home.report()
    assert served(home.home, home.profile, fair) is fair
    bad = home.train("bad", 0.0, recipe="b")
    assert served(home.home, home.profile, bad) is bad
    home.report()
    asked = served(home.home, home.profile, bad)
    assert (asked.recipe, asked.data_version) == (fair.recipe, fair.data_version)
    good = home.train("good", 0.9, recipe="c")
    home.report()
    assert served(home.home, home.profile, good) is good


def test_a_champion_whose_recipe_was_trained_anew_is_asked_by_its_own_files(home):
    fair = home.train("fair", 0.3)
    home.report()
    bad = home.train("bad", 0.0)  # forced: other bytes under the same recipe
    home.report()
    asked = served(home.home, home.profile, bad)
    assert asked.data_version == fair.data_version
    assert asked.path("weights.bin").read_text() == "fair"
    shutil.rmtree(home.home / "models")
    with pytest.warns(UserWarning, match="the files of the champion are gone"):
        assert served(home.home, home.profile, bad) is bad


def test_a_training_of_unchanged_data_is_a_version_of_its_own_and_says_so(home):
    home.judge("good", 0.9)
    again = home.judge("good", 0.9)
    assert (again["decision"], again["version"], again["unchanged"]) == ("stays", "2", True)
    assert again["reason"] == ("trained again on unchanged data with unchanged settings: the same "
                               "bytes as the champion")
    assert home.champion().version == 1
    other = home.judge("good", 0.9, recipe="b")
    assert not other["unchanged"]
    assert other["reason"].endswith("changed nothing of the model: the same bytes as the champion")


def test_what_a_champion_is_compared_by_is_known_to_whoever_cleans_up(home):
    model = home.train("good", 0.9)
    home.report()
    inputs = dict(home.inputs)
    home.judge("bad", 0.0, recipe="b")
    assert needed(home.home) == {(a.key, a.recipe) for a in (model, *inputs.values())}


def test_each_training_is_judged_once(home):
    home.judge("good", 0.9)
    home.train("bad", 0.0, recipe="b")
    first, compared = home.report()
    assert compared == [MODEL]
    assert home.report() == (first, [])


def test_a_training_that_was_not_yet_measured_waits(home):
    home.judge("good", 0.9)
    measured = home.inputs
    home.train("bad", 0.0, recipe="b")
    home.inputs = measured
    assert home.report() == (None, [])
    assert home.champions.read()[MODEL]["latest"]["version"] == "1"


def test_a_champion_whose_predictions_are_gone_gives_way_and_the_reason_says_so(home):
    home.judge("good", 0.9)
    shutil.rmtree(home.inputs["rowgraph_metrics__tiny_league__wins"].folder)
    decision = home.judge("bad", 0.0, recipe="b")
    assert decision["decision"] == "crowned"
    assert decision["reason"] == ("nothing to compare with: tiny_league/wins: the champion's "
                                  "predictions are gone")


def test_other_bytes_of_an_equal_recipe_leave_the_champions_files_alone(home):
    champion = home.train("good", 0.9)
    home.report()
    kept = files_of(home.home, home.name, champion)
    decision = home.judge("bad", 0.0)  # a device that is not deterministic
    assert (decision["decision"], decision["unchanged"]) == ("stays", True)
    assert (champion.folder / "weights.bin").read_text() == "bad"
    assert (kept / "weights.bin").read_text() == "good"
    assert home.champion().source == kept.resolve().as_uri()
    home.judge("worse", 0.0)
    assert sorted(p.name for p in kept.parent.iterdir()) == ["run-1", "run-3"]


def test_two_profiles_have_champions_of_their_own(home):
    home.judge("good", 0.9)
    other = Home(home.home, home.registry, "other")
    assert other.judge("bad", 0.0)["decision"] == "crowned"
    assert home.champion().name != other.champion().name


def test_without_mlflow_the_file_decides_and_the_alias_follows_later(home):
    home.tracking = home.tracked(enabled=False)
    home.judge("fair", 0.3)
    assert home.judge("good", 0.9, recipe="b")["decision"] == "crowned"
    home.tracking = home.tracked()
    home.report()
    assert home.champion().tags["training"] == "run-2"
