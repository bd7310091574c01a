# Every target sets up .venv when it is missing or older than pyproject.toml.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATABASES ?= $(ROWGRAPH_TEST_DATABASES)

.PHONY: demo test lint ui f1 paper bench-encode bench-health clean help

help:  ## What there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or pass PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready  ## The main job on embedded databases, ending with the results table
	$(BIN)/rowgraph run --profile demo

test: $(VENV)/.ready  ## The test suite
	$(if $(DATABASES),ROWGRAPH_TEST_DATABASES=$(abspath $(DATABASES))) $(BIN)/python -m pytest

lint: $(VENV)/.ready  ## Style
	$(BIN)/ruff check .

ui: $(VENV)/.ready  ## Dagster UI and MLflow on 127.0.0.1
	$(BIN)/rowgraph ui

f1: $(VENV)/.ready  ## Four embedded databases pre-train, rel-f1 is held out
	$(BIN)/rowgraph run --profile f1

paper: $(VENV)/.ready  ## The paper's experiment: one large GPU, about a day
	$(BIN)/rowgraph run --profile paper

$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

bench-encode: $(VENV)/.bench  ## Encoding against sentence-transformers, on ROWGRAPH_DATABASES
	$(BIN)/python -m benchmarks.encode

bench-health: $(VENV)/.ready  ## Embedding health over seeds, and the ablation of collapse: hours
	$(BIN)/python -m benchmarks.collapse --profile demo
	$(BIN)/python -m benchmarks.collapse --profile demo --grid ablation
	$(BIN)/python -m benchmarks.collapse --profile f1

clean:  ## Remove everything that was made, the environment included
	rm -rf $(VENV) .rowgraph
