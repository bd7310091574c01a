"""What every settings section is: a frozen pydantic model, one per stage, in the room it sets.

The defaults are the paper's (`tests/test_paper.py` asserts each with its section); where the paper
is silent the field's comment names the decision record. A field marked `neutral` cannot change a
result beyond rounding (device, workers, inference batch size, cadence) and is left out of
`effective()`, hence of every recipe. All stages together are a `rowgraph.profiles.Profile`.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo


def neutral(default: Any) -> Any:
    """A field that cannot change a result and therefore belongs to no recipe."""
    return Field(default, json_schema_extra={"neutral": True})


T = TypeVar("T")


def each_once(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values; `Annotated[..., AfterValidator(each_once)]` refuses one that counts twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"lists one more than once: {', '.join(map(str, values))}; list each once")
    return values


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = [str(seed) for seed, count in Counter(seeds).items() if count > 1]
    if twice:
        raise ValueError(f"seed {', '.join(twice)} is listed more than once and would count as "
                         "several in every mean, spread and interval; list each seed once")
    return seeds


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_each_once)]
LearningRate = Annotated[float, Field(gt=0, le=1)]  # beyond 1 nothing here learns
Count = Annotated[int, Field(gt=0)]
FanOut = tuple[Count, ...]  # neighbours per layer


class Section(BaseModel):
    """The settings of one stage: frozen, unknown keys refused, numbers finite, and true or false
    neither a number nor written as one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _truths_are_no_numbers(cls, given: Any) -> Any:
        for name, value in given.items() if isinstance(given, dict) else ():
            if name not in cls.model_fields:
                continue
            kinds = plain_types(cls.model_fields[name].annotation)
            values = value if isinstance(value, list | tuple) else (value,)
            if kinds & {int, float} and bool not in kinds and any(v is True or v is False
                                                                  for v in values):
                raise ValueError(f"{name} is {_as_yaml(value)}, expected a number")
            if kinds == {bool} and not isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}, expected true or false")
        return given

    def effective(self) -> dict[str, Any]:
        """The settings that can change a result, JSON-able, in field order."""
        fields = type(self).model_fields
        keep = {n for n, f in fields.items() if not is_neutral(f)}
        return self.model_dump(mode="json", include=keep)


def is_neutral(field: FieldInfo) -> bool:
    """Whether a setting can change no result."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("neutral"))


def plain_types(annotation: Any) -> set[type]:
    """The types that an annotation is made of."""
    if isinstance(annotation, type) and not get_args(annotation):
        return {annotation}
    return set().union(*map(plain_types, get_args(annotation)))


def _as_yaml(value: Any) -> str:
    return str(value).replace("True", "true").replace("False", "false")


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"expected auto, cpu or cuda:n, found {name[:50]!r}")
    return name


class ComputeSettings(Section):
    """Where it runs; nothing here may change a result beyond rounding."""

    device: Annotated[str, AfterValidator(_device)] = neutral("auto")  # auto, cpu or cuda:n
    threads: Count | None = neutral(None)  # of PyTorch on a CPU; null = its own choice
    processes: Count = neutral(1)  # of each training: one a GPU, or a share of the cores
    engine: Literal["local", "ray"] = neutral("local")  # this machine, or the cluster of `ray`


def _ray_address(address: str) -> str:
    if not re.fullmatch(r"auto|local|(ray://)?[\w.-]+:\d{1,5}", address):
        raise ValueError("expected auto (the cluster that this machine belongs to), local (one of "
                         f"this machine alone), ray://host:10001 or host:6379, found "
                         f"{address[:50]!r}")
    return address


class RaySettings(Section):
    """Which Ray cluster does the work where `compute.engine` is `ray`; no result depends on it."""

    # auto (the cluster that this machine belongs to), local, ray://host:10001 or host:6379
    address: Annotated[str, AfterValidator(_ray_address)] = neutral("auto")
    workers: Count | None = neutral(None)  # pieces of work at once; null = what the cluster holds
    # of the `processes` of a training, with which it may begin or go on; null = all of them
    fewest: Count | None = neutral(None)
