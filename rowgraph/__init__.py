"""The science of RowGraph: rows become text, text becomes vectors, keys become edges.

Nothing here imports Dagster or MLflow; the rooms around it (`assets`, `resources`, `pipeline`) do.
"""
