# Two commands matter: `make demo` and `make test`. Both set up .venv from the lock first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv where it is installed, else pip; both read the same lock.
INSTALL = if command -v uv >/dev/null; then uv pip install -q --python $(BIN)/python "$$@"; else $(BIN)/python -m pip install -q --disable-pip-version-check "$$@"; fi

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: requirements.lock requirements-data.lock pyproject.toml
	@echo "[make] setting up $(VENV) from requirements.lock (about 10 s with uv, a minute or two with pip)" >&2
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"statmux needs Python 3.11 or newer, found {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"'
	@$(PYTHON) -m venv $(VENV)
	@set -- -r requirements.lock; $(INSTALL)
	@set -- --no-deps -r requirements-data.lock; $(INSTALL)
	@set -- --no-deps --no-build-isolation -e .; $(INSTALL)
	@touch $@

$(VENV)/.oracle: $(VENV)/.ready requirements-oracle.lock
	@echo "[make] adding the oracle (transformers, and torch as a CPU build)" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-oracle.lock torch==2.13.0
	@touch $@

setup: $(VENV)/.ready  ## make .venv from the lock
oracle: $(VENV)/.oracle  ## add torch and transformers, the oracle of the model families

demo: $(VENV)/.ready  ## plan, serve, replay, compare: the main job on a local Ray cluster
	@$(BIN)/python -m statmux.demo

model: $(VENV)/.ready  ## train the tiny byte-level Llama that writes Python, in some minutes; once
	@$(BIN)/python -m workers.training.byte_llama

# Neighbours in a file stay in one process, which shares their fixtures, until another runs out of work. Tests
# that start Ray wait more than they work: pages of the documentation run beside them, where nobody else wants
# a processor. 5: none of those that PYTEST_ARGS select.
test: $(VENV)/.ready  ## every test that this machine can run, but for those of `make nightly`
	@mkdir -p build; code=0; \
	pass() { "$$@" $(PYTEST_ARGS) || { ended=$$?; [ $$ended = 5 ] || code=$$ended; }; }; \
	pytest="$(BIN)/python -m pytest"; \
	pass $$pytest -n logical --maxprocesses 4 --dist worksteal -m "not cluster and not nightly and not pages"; \
	( code=0; pass nice -n 19 $$pytest -m "pages and not cluster and not nightly"; exit $$code ) \
	  >build/pages.log 2>&1 & beside=$$!; \
	pass $$pytest -m "cluster and not nightly"; \
	wait $$beside || code=$$?; cat build/pages.log; \
	exit $$code

nightly: $(VENV)/.ready  ## hosts that die and come back, versions and plans changed under load: minutes of real time
	@$(BIN)/python -m pytest -m nightly $(PYTEST_ARGS)

check: style types test  ## all that must hold before a change lands: style, types, every test

lint: style types floors  ## what is quick of it: style, types, and the floors of the house

style: $(VENV)/.ready
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.ready  ## pyright, strict, on the rooms that pyrightconfig.json names
	@$(BIN)/basedpyright

floors: $(VENV)/.ready
	@$(BIN)/python -m pytest tests/test_floors.py

# BENCH: names; none is the quick set. Compares with benchmarks/results; KEEP=1 writes there.
bench: $(VENV)/.ready  ## benchmarks as tables and JSON: make bench [BENCH=journal] [RUNS=3] [KEEP=1] [DATA=folder]
	@$(BIN)/python -m benchmarks $(BENCH) $(if $(RUNS),--runs $(RUNS)) $(if $(DATA),--data $(DATA)) $(if $(KEEP),--keep)

# Processes that tests start are counted too, but not those of Ray.
coverage: $(VENV)/.ready  ## lines and branches that the tests reach, by room
	@$(BIN)/python -m tests.coverage_by_room $(PYTEST_ARGS)

hooks: $(VENV)/.ready  ## what `make lint` finds, before every commit: needs pre-commit (https://pre-commit.com)
	@command -v pre-commit >/dev/null || { echo "[make] first: pipx install pre-commit, or uv tool install pre-commit" >&2; exit 2; }
	@pre-commit install

docs: $(VENV)/.ready  ## the site of docs/, strictly, into build/site; pages of the reference written anew before
	@$(BIN)/python -m docs.generators && NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "[make] build/site/index.html; with its search: python3 -m http.server -b 127.0.0.1 -d build/site" >&2

clean:  ## remove the environment and what runs left behind
	rm -rf $(VENV) .statmux build *.egg-info

.PHONY: help setup oracle demo model test nightly check lint style types floors bench coverage hooks docs clean
