# Everything runs in .venv, which needs only python3, pip and make.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

# Without ensurepip (some distributions split it off) a venv can still be filled by the pip outside it.
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check

.PHONY: help
help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'

NOT_INSTALLED := Not installed; pip's message is above. All packages are binary wheels on PyPI. If pip wanted a compiler, there are none for \
  this Python: name another (make run PYTHON=python3.12). Otherwise check the network, the proxy and pip's index.

# Names in one line what the machine lacks, before pip fails with many.
.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "$(PYTHON) is not installed. Install Python 3.11 or newer, or name it: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) --version 2>&1). Name another: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || \
	  { echo "$(PYTHON) has no pip. Install it (Debian: apt install python3-pip), then run make again."; exit 1; }
	@[ -w . ] || { echo "$$(pwd) cannot be written to by $$(id -un): .venv and .data are made here."; exit 1; }
	@$(PYTHON) -m venv --without-pip .venv || \
	  { rm -rf .venv; echo "No .venv could be made (Debian: apt install python3-venv), see above."; exit 1; }

.venv/run: .venv/bin/python pyproject.toml
	@echo "Installing into .venv, once; this takes a minute or two …"
	@$(PIP) install --quiet --prefer-binary -e . || { echo "$(NOT_INSTALLED)"; exit 1; }
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml
	$(PIP) install --quiet -e '.[dev]'
	@touch $@ .venv/run

# CI installs exactly these versions; pip refuses a file whose hash differs.
.venv/locked: .venv/bin/python pyproject.toml requirements-dev.lock
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@ .venv/dev .venv/run

LOCK = $(BIN)/uv --quiet --no-config pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-annotate --custom-compile-command 'make lock' --index-url https://pypi.org/simple --upgrade

.PHONY: lock
lock: .venv/bin/python ## Write requirements.lock and requirements-dev.lock: the newest versions allowed, with hashes
	$(PIP) install --quiet uv
	$(LOCK) --output-file requirements.lock >/dev/null
	$(LOCK) --extra dev --output-file requirements-dev.lock >/dev/null

.PHONY: setup
setup: .venv/dev ## Install the project and its development tools into .venv

.PHONY: run
run: .venv/run ## Start Postgres (embedded unless DATABASE_URL is set), web and scheduler; Ctrl-C stops everything
	@exec $(BIN)/webhook-app up

.PHONY: judgement
judgement: .venv/dev ## What the default rules say of 36 scenarios and of healthy traffic, in simulated time (a few minutes)
	@$(BIN)/python -m benchmarks.judgement

.PHONY: demo
demo: .venv/run ## Show a week of history and a simulated outage, in a terminal and on the dashboard
	@exec $(BIN)/webhook-app demo

JOBS ?= 3

# With bytecode: otherwise each process compiles all plugins and tests, and each command that a test starts itself.
.PHONY: test
test: .venv/dev ## Run all tests (real Postgres, no network), in JOBS (3) processes
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

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
format: .venv/dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: .venv/run ## Write docs/error-codes.md from the catalogue of error codes
	$(BIN)/webhook-app codes > docs/error-codes.md

.PHONY: screenshots
screenshots: .venv/dev ## Picture every page, light and dark, wide and narrow, into FOLDER (screenshots)
	$(BIN)/python -m tests.browser.screenshots $(or $(FOLDER),screenshots)

.PHONY: bench
bench: .venv/dev ## Measure ingest against an empty handler and peers, all in one run
	$(BIN)/python -m benchmarks.run

.PHONY: backlog
backlog: .venv/dev ## Deliver 200 000 events of a 36-hour outage at once and recount what the service says of them
	$(BIN)/python -m benchmarks.redelivery

SCALE ?= 1

.PHONY: bench-large
bench-large: .venv/dev ## Fill a database with SCALE (1) times 30 million events and 10 million suppressions, and ask it
	$(BIN)/python -m benchmarks.large --scale $(SCALE) $(if $(KEEP),--keep $(KEEP))

MINUTES ?= 5

.PHONY: mutations
mutations: .venv/dev ## Send 10 000 signed mutations of the samples to a real server and check what must hold
	$(BIN)/python -m tests.fuzzing.campaign --mutations 10000 --seed $(or $(SEED),1)

.PHONY: fuzz
fuzz: .venv/dev ## Send garbled bytes for MINUTES (5); a new seed each time unless SEED says which
	$(BIN)/python -m tests.fuzzing.campaign --level bytes --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: made-up
made-up: .venv/dev ## Simulate outages for MINUTES (5), each with and without made-up failed calls
	$(BIN)/python -m tests.fuzzing.made_up_reports --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

.PHONY: clean
clean: ## Remove .venv and caches; .data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build
