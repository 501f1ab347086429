# Everything runs in .venv, made from exact pins. A second call installs nothing.
PYTHON ?= python3.11
BIN := .venv/bin
CONSTRAINTS := infra/constraints.txt
STAMP := .venv/installed
# PyTorch first and by exact version: asked for by a range, an index may serve a build of several gigabytes.
TORCH := $(shell sed -n 's/^torch==/torch==/p' $(CONSTRAINTS))

.PHONY: demo test test-servers chaos check bench setup

demo: setup
	@$(BIN)/burnish run tiny

test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-servers: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev,test-servers]'
	@$(BIN)/python -m pytest -m servers

chaos: setup
	@$(BIN)/python -m pytest -m chaos --capture=no

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --project pyproject.toml
	@$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev,bench]'
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.benchmarks.million_rows
	@$(BIN)/python -m tests.benchmarks.near_duplicates
	@$(BIN)/python -m tests.benchmarks.planted_contamination
	@$(BIN)/python -m tests.benchmarks.math_verdicts
	@$(BIN)/python -m tests.benchmarks.code_verdicts
	@$(BIN)/python -m tests.benchmarks.schedule_verdicts
	@$(BIN)/python -m tests.benchmarks.gate_table

setup: $(STAMP)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned dependencies into .venv (minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@
