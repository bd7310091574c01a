"""Where databases come from: a folder of RelBench 3 folders, embedded builders, the hub."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from rowgraph.databases.settings import DatabaseSettings


class DatabasesResource(dg.ConfigurableResource):
    """Looks in `folder` first (ROWGRAPH_DATABASES), then among the embedded, then on the hub."""

    folder: str | None = None
    hub: bool = True
    profile_folders: list[str] = Field(default_factory=list)

    def extra_tasks(self, database: str) -> tuple[Path | None, str | None]:
        """Tasks beside the profile for a database: their folder and fingerprint, or None twice."""
        return extra_tasks_of(self.profile_folders, database)

    def resolve(self, settings: DatabaseSettings) -> Any:
        """The origin of a database; see `rowgraph.databases.resolving`."""
        from rowgraph.databases.resolving import resolve

        return resolve(settings.name, folders=Path(self.folder) if self.folder else None,
                       entities=settings.entities, hub=self.hub)


def extra_tasks_of(folders: Iterable[str], database: str) -> tuple[Path | None, str | None]:
    """As `rowgraph.databases.resolving.extra_tasks_of`, from the first folder that has any."""
    from rowgraph.databases.resolving import extra_tasks_of as beside

    found = (beside(Path(folder), database) for folder in folders)
    return next((extra for extra in found if extra[0] is not None), (None, None))
