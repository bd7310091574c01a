"""Files that come with the code: profiles, and the templates of a Dagster instance."""

from pathlib import Path

_CODE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """A file or folder beside the packages in a checkout, within this package in a wheel.

    Args:
        name: `profiles`, `dagster.yaml` or `workspace.yaml`.
    """
    inside = _CODE / "_shipped" / name
    return inside if inside.exists() else _CODE.parent / name
