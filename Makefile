# Every target sets up .venv when it is missing or older than pyproject.toml.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATABASES ?= $(ROWGRAPH_TEST_DATABASES)

.PHONY: demo shop test test-lowest lint docs ui f1 transfer suite paper bench-encode bench-graph bench-sampler bench-scale \
	bench-growth bench-health bench-device bench-kumo bench-stops clean help

help:  ## What there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or pass PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'  # pip searches for minutes
	@touch $@

demo: $(VENV)/.ready  ## The main job on embedded databases, ending with the results table
	$(BIN)/rowgraph run --profile demo

test: $(VENV)/.ready  ## The test suite; TESTS=tests/graph takes a part of it
	$(if $(DATABASES),ROWGRAPH_TEST_DATABASES=$(abspath $(DATABASES))) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(TESTS)

# As old as pyproject.toml allows: torch by hand, so that it is the same build everywhere.
LOWEST := .venv-lowest

$(LOWEST)/.ready: pyproject.toml $(VENV)/.ready
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet torch==2.13.0
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	@touch $@

test-lowest: $(LOWEST)/.ready  ## The test suite with the oldest dependencies that are allowed
	$(if $(DATABASES),ROWGRAPH_TEST_DATABASES=$(abspath $(DATABASES))) $(LOWEST)/bin/python -m pytest --numprocesses 2 --dist loadfile $(TESTS)

lint: $(VENV)/.ready  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/.docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

docs: $(VENV)/.docs  ## The documentation site, strictly, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

ui: $(VENV)/.ready  ## Dagster UI and MLflow on 127.0.0.1
	$(BIN)/rowgraph ui

$(VENV)/.shop: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[shop]'
	@touch $@

shop: $(VENV)/.shop  ## A shop in PostgreSQL, from import to predictions and what came of them
	$(BIN)/python -m examples.shop

f1: $(VENV)/.ready  ## Four embedded databases pre-train, rel-f1 is held out
	$(BIN)/rowgraph run --profile f1

transfer: $(VENV)/.ready  ## What pre-training is worth, on rel-f1 and rel-stack-small: two hours
	$(BIN)/rowgraph run --profile transfer

suite: $(VENV)/.ready  ## RowGraph's own model on seven databases of ROWGRAPH_DATABASES: hours
	for profile in suite suite_second suite_tenth suite_second_tenth suite_hundredth \
		suite_second_hundredth; do $(BIN)/rowgraph run --profile $$profile || exit 1; done
	$(BIN)/python -m benchmarks.suite
	$(BIN)/python -m benchmarks.ablation

paper: $(VENV)/.ready  ## The paper's experiment: one large GPU, about a day
	$(BIN)/rowgraph run --profile paper

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

bench-encode: $(VENV)/.bench  ## Encoding against sentence-transformers, on ROWGRAPH_DATABASES
	$(BIN)/python -m benchmarks.encode

bench-graph: $(VENV)/.ready  ## Graph building against relbench; 12 GB of memory
	$(BIN)/python -m benchmarks.graph --folder .rowgraph/benchmarks

$(VENV)/.bench-sampler: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet setuptools wheel
	$(BIN)/python -m pip install --no-build-isolation --editable '.[bench-sampler]'
	@touch $@

bench-sampler: $(VENV)/.bench-sampler  ## Sampling against PyG on torch-sparse, built from source
	$(BIN)/python -m benchmarks.sampler

bench-scale: $(VENV)/.ready  ## Pre-training on 22.8 million rows: 12 GB of disk, 16 of memory
	$(BIN)/python -m benchmarks.scale --folder .rowgraph/benchmarks

bench-growth: $(VENV)/.ready  ## The demo at 1, 4, 16 and 64 times its rows, stage by stage: hours
	$(BIN)/python -m benchmarks.growth --folder .rowgraph/benchmarks/growth

bench-health: $(VENV)/.ready  ## Embedding health over seeds, and the ablation of collapse: hours
	$(BIN)/python -m benchmarks.collapse --profile demo
	$(BIN)/python -m benchmarks.collapse --profile demo --grid ablation
	$(BIN)/python -m benchmarks.collapse --profile f1

bench-device: $(VENV)/.ready  ## One large GPU at the paper's sizes: seven minutes, 15 GB of disk
	$(BIN)/python -m benchmarks.device

bench-stops: $(VENV)/.ready  ## Every stage killed by every signal and by the UI: an hour
	$(BIN)/python -m benchmarks.interruptions --folder .rowgraph/benchmarks/interruptions

KUMO := .rowgraph/kumo

$(KUMO)/.ready: benchmarks/kumo_requirements.txt
	$(PYTHON) -m venv $(KUMO)
	$(KUMO)/bin/python -m pip install --quiet --upgrade pip
	$(KUMO)/bin/python -m pip install --quiet --requirement benchmarks/kumo_requirements.txt
	$(KUMO)/bin/python -m pip install --quiet --no-deps kumo-engine==1.0.0
	@touch $@

bench-kumo: $(VENV)/.ready $(KUMO)/.ready  ## kumo-engine on the same label rows: an hour on two cores
	$(BIN)/python -m benchmarks.kumo --folder .rowgraph/benchmarks/kumo

clean:  ## Remove everything that was made, the environment included
	rm -rf $(VENV) $(LOWEST) .rowgraph
