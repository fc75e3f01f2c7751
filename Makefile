# Everything runs in .venv, made from pyproject.toml with nothing but python3, pip and make.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

# Without ensurepip (some distributions split it off) a venv can still be filled by the pip outside it.
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check

.PHONY: help
help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'

.venv/bin/python:
	$(PYTHON) -m venv --without-pip .venv

.venv/run: .venv/bin/python pyproject.toml
	$(PIP) install --quiet -e .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml
	$(PIP) install --quiet -e '.[dev]'
	@touch $@ .venv/run

.PHONY: setup
setup: .venv/dev ## Install the project and its development tools into .venv

.PHONY: run
run: .venv/run ## Start Postgres (embedded unless DATABASE_URL is set), web and scheduler; Ctrl-C stops everything
	@exec $(BIN)/webhook-app up

.PHONY: demo
demo: .venv/run ## Show a simulated outage become an alert and a suppression, in a terminal
	@exec $(BIN)/webhook-app demo

.PHONY: test
test: .venv/dev ## Run all tests (real Postgres, no network)
	$(BIN)/python -m pytest

.PHONY: lint
lint: .venv/dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: .venv/dev ## Check types, strictly
	$(BIN)/mypy

.PHONY: imports
imports: .venv/dev ## Check that modules import only from the floors below their own
	$(BIN)/lint-imports

.PHONY: check
check: lint types imports ## Lint, types and import contracts

.PHONY: format
format: .venv/dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: .venv/dev ## Measure ingest against an empty handler and peers, all in one run
	$(BIN)/python -m benchmarks.run

.PHONY: clean
clean: ## Remove .venv and caches; .data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build
