# `make demo` and `make test` do all the set-up that a fresh machine needs (Python 3.11 or newer). Both can be
# repeated at any time and skip what is done. The first installs what the commands need, the second adds what
# the tests need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Four on two cores, because much of the time is waiting for Ray. The order of files is that of tests/conftest.py.
SIDE_BY_SIDE := -n 4 --dist loadfile --no-loadscope-reorder
INSTALLED := $(VENV)/.installed
TESTED := $(VENV)/.installed-for-tests
COMPILED := $(VENV)/.compiled
# On a terminal pip shows its progress; in a log it prints only errors.
# It compiles no modules, which would take half a minute: most are never imported. The others are imported, and
# so compiled, in step 3: of the processes that a launch starts together, each would compile them.
PIP_INSTALL := quiet=; [ -t 1 ] || quiet=-qq; \
  $(BIN)/pip install $$quiet --no-compile --disable-pip-version-check -c constraints.txt

# In a new environment modules are compiled once, before the tests, not by each of the hundreds of processes that
# the tests start. Beside them mypy keeps another core busy for a minute.
unexport PYTHONDONTWRITEBYTECODE
MAKEFLAGS += --jobs=2

.PHONY: help setup setup-test demo results docs pictures test test-all test-cluster gpu-check lint types \
  fast-tests all-tests format clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: $(INSTALLED)  ## create .venv and install what the commands need, under constraints.txt

setup-test: $(TESTED)  ## also install what the tests need: moto, mypy, playwright, ...

# A new environment gets what the tests need at once, if that is what it is for.
setup-test lint types $(COMPILED): EXTRAS := sweeps,analysis,test
EXTRAS := sweeps,analysis

# The stamp is written last, so an installation that was interrupted starts again from the beginning. One that
# was finished stays, with what the tests need, when the requirements change.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; use make PYTHON=python3.11" >&2; exit 2; }
	@if [ -e $@ ] && $(BIN)/python -c ''; then echo "[1/3] keeping $(VENV)"; else \
	  echo "[1/3] creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear $(VENV); fi
	@$(PIP_INSTALL) --upgrade pip  # older ones take a minute longer to choose the versions
	@echo "[2/3] downloading and installing torch, Ray and what else the commands need: some minutes"
	@$(PIP_INSTALL) -e '.[$(EXTRAS)]'
	@echo "[3/3] checking that the commands start"
	@$(BIN)/python sweeps/paper_grid.py --help >/dev/null
	@$(BIN)/python analysis/summarize.py --help >/dev/null
	@$(BIN)/python -c 'import analysis.figures.draw, lvae_core.training.trainer, sweeps.launching.launch'
	@echo $(EXTRAS) > $@

$(TESTED): $(INSTALLED)
	@grep -q test $< || { echo "[1/1] downloading and installing what the tests need: a minute or two"; \
	  $(PIP_INSTALL) -e '.[$(EXTRAS)]'; }
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

pictures: setup-test  ## take the README's picture of a report again; needs Chromium
	$(BIN)/python docs/make_pictures.py

test: lint fast-tests types  ## run lint, type checks and the fast tests

test-all: lint all-tests types  ## also run the slow tests

fast-tests: $(COMPILED)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

all-tests: $(COMPILED)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m ''

test-cluster: setup-test  ## test a real cluster on hosts made of namespaces; needs root, iproute2, openssh-server, rsync
	$(BIN)/python -m pytest -m cluster -rs -v tests/cluster

gpu-check:  ## check and measure on one GPU in 8 minutes; needs torch and numpy only, no setup
	$(PYTHON) benchmarks/gpu_check.py --minutes 8

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-test
	$(BIN)/mypy

$(COMPILED): $(TESTED)
	$(BIN)/python -m pytest --collect-only >/dev/null
	@touch $@

format: setup-test  ## format the code and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment and caches, never results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
