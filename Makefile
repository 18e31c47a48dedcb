# `make demo` and `make test` do all the set-up a fresh machine needs (Python 3.11 or newer). Both can be
# run again at any time; what is done is not done twice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help setup demo test test-all test-cluster lint types format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(INSTALLED)  ## create .venv and install the project under constraints.txt

# A venv that breaks off half-way has no stamp and is made again from the start.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; use make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sweeps,analysis,test]'
	@touch $@

demo: setup  ## the whole chain on a small corpus: grid, tables, report (minutes on two cores)
	$(BIN)/python sweeps/paper_grid.py --preset demo
	$(BIN)/python analysis/summarize.py runs/demo

test: lint types  ## lint, types and the fast tests
	$(BIN)/python -m pytest

test-all: lint types  ## the slow tests, too
	$(BIN)/python -m pytest -m ''

test-cluster: setup  ## a real cluster on hosts made of namespaces: needs root, iproute2, openssh-server, rsync
	$(BIN)/python -m pytest -m cluster -rs -v tests/cluster

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup  ## format the code and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches; never results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
