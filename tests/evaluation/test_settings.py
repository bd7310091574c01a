import pytest

from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.evaluation.settings import TransferMetricsSettings

TRAINED = (DownstreamMetricsSettings, BaselineMetricsSettings, TransferMetricsSettings)


@pytest.mark.parametrize("section", TRAINED)
def test_a_seed_that_is_listed_twice_is_refused_by_name(section):
    with pytest.raises(ValueError, match="seed 0, 4 is listed more than once"):
        section(seeds=(0, 4, 0, 1, 4))
    with pytest.raises(ValueError, match="at least 1 item"):
        section(seeds=())
    assert section(seeds=[3, 0]).seeds == (3, 0)
