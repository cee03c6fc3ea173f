# `make` alone prints what there is to make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-bench
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

#: What breaks something on purpose.
FAULTS := $(patsubst %,tests/e2e/test_%.py,faults restarts networks losses descriptors garbage storage) \
    tests/e2e/test_operations.py::test_runs_that_wait_start_in_their_order_and_each_is_exact

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types layers unit tests faults fuzz soak docs bench clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.loads ## See it work: a site, a broker, two agents, and a load test with live numbers
	@$(BIN)/python -m examples.demo

test: check tests docs ## Run everything that must hold before a change lands

check: lint types layers unit ## The fast part of `make test`, for before every commit

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: $(VENV)/.dev ## Check format and style (ruff)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev ## Check types (mypy, strict)
	$(BIN)/mypy

layers: $(VENV)/.dev ## Check what may import what (import-linter)
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.dev ## Run the tests that need nothing but the interpreter
	$(BIN)/pytest -q -n 2 tests/unit tests/wire

tests: $(VENV)/.dev ## Run the tests with real sockets and real processes
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/integration tests/e2e

faults: $(VENV)/.dev ## Repeat the tests of faults, each fault as long as promised (TIMES=10)
	@failed=0; for round in $$(seq $(or $(TIMES),10)); do echo "Round $$round"; \
	    LOADS_LONG_FAULTS=1 $(BIN)/pytest -q -n 3 --dist loadfile $(FAULTS) || failed=$$((failed + 1)); \
	done; echo "Rounds with failures: $$failed of $(or $(TIMES),10)"; test $$failed = 0

fuzz: $(VENV)/.dev ## Send a locked broker damaged and hostile messages (MUTATIONS=100000 for each socket and peer)
	LOADS_TEST_MUTATIONS=$(or $(MUTATIONS),100000) $(BIN)/pytest -q -s tests/e2e/test_hostile_peers.py

soak: $(VENV)/.dev ## See whether anything grows while a cluster is at work (MINUTES=60)
	$(BIN)/python -m tests.benchmarks.soak --minutes $(or $(MINUTES),60)

docs: $(VENV)/.dev ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

bench: $(VENV)/.loads $(PEERS)/.peers ## Compare the speed with other generators (PEER= CASE= ROUNDS= SECONDS= SECTION= TABLE=)
	@mkdir -p build/bench
	@$(BIN)/python -m tests.benchmarks $(SECTION) --programs $(PEERS)/bin \
	    $(if $(PEER),--peer $(PEER)) $(if $(CASE),--case $(CASE)) \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
	    --json build/bench/results.json --text build/bench/table.txt $(if $(TABLE),--text $(TABLE))

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(PEERS) docs/_build build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.loads: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Loads into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

# The peers have requirements of their own, so they get an environment of their own.
$(PEERS)/.peers: pyproject.toml
	@echo "Installing the generators to compare with into $(PEERS) ..."
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --quiet --disable-pip-version-check install --editable '.[bench]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Loads and what its tests need into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.loads
