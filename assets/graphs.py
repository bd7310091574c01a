"""`entity_graph/<db>`: structure and times."""

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def entity_graph(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The relational entity graph of one database."""

    @dg.asset(**spec(node, code_version, "The relational entity graph: rows as nodes, foreign "
                     "keys as edges in both directions, times. No features: a new BART rebuilds "
                     "no edge."),
              kinds={"numpy"}, required_resource_keys={"store", "tracking", "progress"})
    def _entity_graph(context: dg.AssetExecutionContext, source: Artifact) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.graph.entity_graph import build_entity_graph
            from rowgraph.graph.statistics import graph_statistics

            graph = build_entity_graph(Database.open(source.folder))
            graph.save(draft.folder)
            return graph_statistics(graph)

        return build(context, node, {"source": source}, make)

    return _entity_graph
