# `make` alone prints what there is to make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types layers unit tests docs clean

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
	$(BIN)/pytest -q tests/unit tests/wire

tests: $(VENV)/.dev ## Run the tests with real sockets and real processes
	$(BIN)/pytest tests/integration tests/e2e

docs: $(VENV)/.dev ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -W -q -b html docs docs/_build

clean: ## Remove what the other targets made
	rm -rf $(VENV) docs/_build build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.loads: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Loads into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Loads and what its tests need into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.loads
