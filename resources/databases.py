"""Where databases come from: a folder of RelBench 3 folders, embedded builders, the hub."""

from pathlib import Path
from typing import Any

import dagster as dg

from rowgraph.databases.settings import DatabaseSettings


class DatabasesResource(dg.ConfigurableResource):
    """Looks in `folder` first (ROWGRAPH_DATABASES), then among the embedded, then on the hub."""

    folder: str | None = None
    hub: bool = True

    def resolve(self, settings: DatabaseSettings) -> Any:
        """The origin of a database; see `rowgraph.databases.resolving`."""
        from rowgraph.databases.resolving import resolve

        return resolve(settings.name, folders=Path(self.folder) if self.folder else None,
                       entities=settings.entities, hub=self.hub)
