"""What every settings section is: a frozen pydantic model, one per stage, in the room it sets.

The defaults are the paper's (`tests/test_paper.py` asserts each with its section); where the paper
is silent the field's comment names the decision record. A field marked `neutral` cannot change a
result beyond rounding (device, workers, inference batch size, cadence) and is left out of
`effective()`, hence of every recipe. All stages together are a `rowgraph.profiles.Profile`.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def neutral(default: Any) -> Any:
    """A field that cannot change a result and therefore belongs to no recipe."""
    return Field(default, json_schema_extra={"neutral": True})


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = [str(seed) for seed, count in Counter(seeds).items() if count > 1]
    if twice:
        raise ValueError(f"seed {', '.join(twice)} is listed more than once and would count as "
                         "several in every mean, spread and interval; list each seed once")
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_each_once)]


class Section(BaseModel):
    """The settings of one stage: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def effective(self) -> dict[str, Any]:
        """The settings that can change a result, JSON-able, in field order."""
        fields = type(self).model_fields
        keep = {n for n, f in fields.items() if not (f.json_schema_extra or {}).get("neutral")}
        return self.model_dump(mode="json", include=keep)



class ComputeSettings(Section):
    """Where it runs; nothing here may change a result beyond rounding."""

    device: str = neutral("auto")
    threads: int | None = neutral(None)
    processes: int = neutral(1)  # of fine-tuning, by torchrun: one a GPU, or a share of the cores
