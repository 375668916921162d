# Each target does its own set-up, and may be run again at any time.  `make help` lists them.

PYTHON ?=
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install test lint bench demo docs lock clean

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-9s %s\n", $$1, $$2 }'

install: $(INSTALLED) ## .venv from the hashed lock, and the project in it

# The paths inside .venv are absolute, so a moved or copied directory is installed again.
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(CURDIR))
.PHONY: $(INSTALLED)
endif
$(INSTALLED): requirements-dev.lock pyproject.toml scripts/install
	PYTHON="$(PYTHON)" scripts/install

test: install ## unit, property, integration and end-to-end tests (ARGS="-k switch" chooses)
	scripts/system-packages chromium
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

lint: install ## ruff, its formatter, and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src scripts bench

demo: install ## the whole move under traffic (KEEP=1 leaves the game running in the browser)
	$(BIN)/python -m examples.timeline.demo $(if $(KEEP),--keep)

bench: install ## copy and verify against pgloader and psql (ARGS="--rows 200000" for less)
	scripts/system-packages pgloader
	$(BIN)/python bench/copy.py $(ARGS)
	$(BIN)/python -m bench.locks

docs: install ## docs/cli.md, docs/spec.md, docs/errors.md and the JSON Schema, from the code
	$(BIN)/python scripts/generate_docs.py

lock: install ## both lock files, from pyproject.toml (ARGS=--upgrade for the newest of everything)
	scripts/lock $(ARGS)

clean: ## remove what the other targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis bench/results build dist demo-report.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
