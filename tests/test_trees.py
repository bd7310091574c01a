"""What a tree is given for a column."""

import numpy as np
import polars as pl
import pytest

from rowgraph.trees import numbers_of


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["c", "b", "a"])])
def test_words_are_codes_whatever_type_holds_them(dtype):
    numbers, coded = numbers_of(pl.Series(["b", None, "a", "b"], dtype=dtype))
    assert coded
    np.testing.assert_array_equal(numbers, [1, np.nan, 0, 1])
