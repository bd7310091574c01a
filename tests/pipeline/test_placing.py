from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.costing import costs_of
from pipeline.placing import Ask, asks_of, places_of, placing_notes
from pipeline.plan import plan
from pipeline.printing import plan_content
from rowgraph.side_by_side import Offer

SMALL, LARGE = Offer(cpus=2, gpus=0, memory=1e9), Offer(cpus=8, gpus=1, memory=64e9)


def test_an_asset_goes_where_its_cores_memory_and_gpu_are():
    asks = {"light": Ask(1, 0, 500_000_000, False), "heavy": Ask(1, 1, 2_000_000_000, False),
            "pieces": Ask(0, 0.1, 2_000_000_000, True), "vast": Ask(1, 0, 10 ** 12, False)}
    assert places_of(asks, [SMALL, LARGE]) == {
        "light": "1 of 2", "heavy": "1 of 1", "pieces": "pieces on 2", "vast": "nowhere"}


def test_an_asset_asks_for_the_memory_that_the_plan_estimates(finished):
    environment = finished.environment()
    planned = [replace(p, action="run") for p in plan(environment)]
    costs = costs_of(environment, planned)
    asks, found = asks_of(costs), costs.estimates["sage_weights"]
    assert asks["sage_weights"].memory >= found.host.value + found.device.value
    assert (asks["sage_weights"].cpus, asks["downstream_metrics/tiny_league/wins"].cpus) == (1, 0)
    assert asks["baseline_metrics/tiny_league/wins"].cpus == 0  # its pieces ask for their own
    assert asks_of(costs, processes=2)["sage_weights"].cpus == 0  # and so do two workers
    places = places_of(asks, [SMALL])
    assert places["bart_checkpoint"] == "nowhere"
    content = plan_content(environment, planned, costs, places)
    assert {row["asset"]: row["where"] for row in content["run"]} == places


def test_a_plan_without_ray_says_no_place_and_one_without_a_cluster_says_why(world, monkeypatch):
    environment = world.environment()
    costs = costs_of(environment, plan(environment))
    assert placing_notes(environment, costs) == ({}, [])
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install '.[ray]'")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests may be connected
    lost = world.environment("compute: {engine: ray}\nray: {address: '127.0.0.1:9'}")
    places, notes = placing_notes(lost, costs)
    assert places == {}
    assert "ray.address is 127.0.0.1:9" in notes[0]
