"""Settings sections as Dagster config: what the Launchpad is pre-filled with, and reads back."""

import types
import typing
from typing import Any

import dagster as dg

from assets.catalog import AssetNode
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.settings import Section

_SCALARS = {int: dg.Int, float: dg.Float, str: dg.String, bool: dg.Bool}


def launchpad_schema(section: Section) -> dict[str, dg.Field]:
    """The section as Dagster config: every field optional, pre-filled with the profile's value."""
    values = section.model_dump(mode="json")
    names = values
    if isinstance(section, DatabaseSettings):
        names = {**section.effective(), "knowledge": section.knowledge}
    hints = typing.get_type_hints(type(section))
    schema = {"force": dg.Field(bool, default_value=False, is_required=False,
                                description="Make it again even if it is finished.")}
    for name in names:
        schema[name] = dg.Field(_config_type(hints[name]), default_value=values[name],
                                is_required=False)
    return schema


def _config_type(hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return dg.Noneable(_config_type(next(a for a in args if a is not type(None))))
    if origin is dict:
        return dg.Permissive()
    if origin is typing.Annotated:
        return _config_type(args[0])
    if origin is tuple:
        return [_config_type(args[0])]
    if origin is typing.Literal:
        return dg.String
    if isinstance(hint, type) and issubclass(hint, Section):
        return dg.Permissive()
    return _SCALARS[hint]


def settings_of(context: dg.AssetExecutionContext, node: AssetNode) -> tuple[Any, bool]:
    """The effective settings section of this run, and whether `force` is set."""
    config = dict(context.op_execution_context.op_config or {})
    force = config.pop("force", False)
    settings = type(node.section).model_validate({**node.section.model_dump(), **config})
    return settings, force
