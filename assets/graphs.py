"""`entity_graph/<db>`: structure and times."""

import dagster as dg

from assets.building import build, spec
from assets.catalog import AssetNode
from assets.checks import check_specs
from assets.graph_checks import GRAPH, edges_resolve, no_edge_from_the_future
from rowgraph.artifacts import Artifact


def entity_graph(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The relational entity graph of one database."""

    @dg.asset(**spec(node, code_version, "The relational entity graph: rows as nodes, foreign "
                     "keys as edges in both directions, times. No features: a new BART rebuilds "
                     "no edge."),
              kinds={"numpy"}, required_resource_keys={"store", "tracking", "progress"},
              check_specs=check_specs(node.key, GRAPH))
    def _entity_graph(context: dg.AssetExecutionContext, source: Artifact):
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.graph.entity_graph import build_entity_graph
            from rowgraph.graph.statistics import graph_statistics

            graph = build_entity_graph(Database.open(source.folder))
            graph.save(draft.folder)
            return graph_statistics(graph)

        output = build(context, node, {"source": source}, make)
        yield output
        yield edges_resolve(output.value.folder, source.folder)
        yield no_edge_from_the_future(output.value.folder, source.folder)

    return _entity_graph
