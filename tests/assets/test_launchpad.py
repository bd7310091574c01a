"""The Launchpad is pre-filled with the profile's values and takes others."""

import dagster as dg
import pytest

from assets.launchpad import launchpad_schema
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.profiles import STAGES, load_profile


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("profile", ["demo", "f1", "paper"])
def test_every_section_becomes_a_schema_that_fills_itself(stage, profile):
    section = getattr(load_profile(profile), stage)
    schema = launchpad_schema(section)

    @dg.op(config_schema=schema)
    def show(context):
        config = dict(context.op_config)
        assert config.pop("force") is False
        return config

    @dg.graph
    def alone():
        show()

    done = alone.execute_in_process()
    assert type(section).model_validate(done.output_for_node("show")) == section


def test_a_databases_role_and_tasks_are_not_for_the_launchpad():
    database = DatabaseSettings(name="a", role="heldout", tasks=("t",))
    assert set(launchpad_schema(database)) == {"force", "name", "entities", "max_rows_per_table",
                                               "knowledge"}
