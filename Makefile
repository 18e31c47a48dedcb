# `make demo` and `make test` do all the set-up that a fresh machine needs (Python 3.11 or newer). Both can be
# repeated at any time and skip what is done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SIDE_BY_SIDE := -n 2 --dist loadfile  # half of the time is waiting for Ray
INSTALLED := $(VENV)/.installed

.PHONY: help setup demo results docs test test-all test-cluster gpu-check lint types format clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(INSTALLED)  ## create .venv and install the project under constraints.txt

# The stamp is written last, so an installation that was interrupted starts again from the beginning.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; use make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sweeps,analysis,test]'
	@touch $@

demo: setup  ## run the whole chain on a small corpus: grid, tables, report (minutes on two cores)
	$(BIN)/python sweeps/paper_grid.py --preset demo
	$(BIN)/python analysis/summarize.py runs/demo

results: setup  ## make the tables of results/ again from the runs kept there
	for study in $(filter-out results/summary/,$(wildcard results/*/)); do $(BIN)/python analysis/summarize.py $$study \
	  --no-figures --no-samples --no-cache --quiet --out results/summary/$$(basename $$study) || exit 1; done
	sed -i.bak 's|$(CURDIR)/||g' results/summary/*/report.md results/summary/*/runs.csv
	rm results/summary/*/*.bak

docs: setup  ## make docs/reference.md again from the commands and the config
	$(BIN)/python docs/make_reference.py

test: lint types  ## run lint, type checks and the fast tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-all: lint types  ## also run the slow tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m ''

test-cluster: setup  ## test a real cluster on hosts made of namespaces; needs root, iproute2, openssh-server, rsync
	$(BIN)/python -m pytest -m cluster -rs -v tests/cluster

gpu-check:  ## check and measure on one GPU in 8 minutes; needs torch and numpy only, no setup
	$(PYTHON) benchmarks/gpu_check.py --minutes 8

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup  ## format the code and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches, never results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
