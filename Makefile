# gristmill: `make demo` and `make test` do all the set-up they need.
#
#   PYTHON      the Python that makes the environment (3.11 or newer)
#   BENCH_ARGS  passed to a benchmark: make bench-extract BENCH_ARGS=--quick
#   PIP_ARGS    passed to every pip install, e.g. to choose CPU wheels of torch:
#               make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
STAMP := $(VENV)/.installed
STAMP_DEV := $(VENV)/.installed-dev

.PHONY: help setup setup-dev demo test lint types unit end-to-end clean clean-cache wheel

help:
	@echo "make demo        environment, then raw pages to an assistant (at most 12 minutes)"
	@echo "make test        environment, then lint, types, tests"
	@echo "make setup       the environment alone, in $(VENV)"
	@echo "make lint types unit end-to-end   the parts of make test"
	@echo "make bench-NAME  a benchmark beside its peers, in an environment of their own"
	@echo "make wheel       a wheel in dist/"
	@echo "make clean       removes the environment and compiled kernels, not runs/"

setup: $(STAMP)
setup-dev: $(STAMP_DEV)

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gristmill needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch first and alone: what depends on it must not choose another build.
$(STAMP): pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt torch
	$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e .
	@touch $(STAMP)

$(STAMP_DEV): $(STAMP)
	$(PY) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	@touch $(STAMP_DEV)

demo: setup
	$(PY) -m gristmill run demo

test: lint types unit end-to-end

lint: setup-dev
	$(BIN)/ruff format --check src tests $(wildcard benchmarks)
	$(BIN)/ruff check src tests $(wildcard benchmarks)
	$(BIN)/lint-imports --no-cache

types: setup-dev
	$(BIN)/mypy

unit: setup-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile --ignore tests/end_to_end

end-to-end: setup-dev
	$(PY) -m pytest -q tests/end_to_end

# The peers of one benchmark in an environment of their own, then the benchmark.
bench-%: setup .bench/%/.installed
	$(PY) benchmarks/$*.py $(BENCH_ARGS)

# These benchmarks have two peers that exclude each other's versions.
bench-personal_data: .bench/personal_data_scrubadub/.installed
bench-train_throughput: .bench/train_throughput_litgpt/.installed

.PRECIOUS: .bench/%/.installed
.bench/%/.installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv .bench/$*
	$(subst $(VENV),.bench/$*,$(PY)) -m pip install -q --disable-pip-version-check $(PIP_ARGS) -r $<
	@touch $@

wheel: setup-dev
	$(PY) -m build --wheel -q .

clean: clean-cache
	rm -rf $(VENV)

# numba notices edits only in the file of the compiled function itself.
clean-cache:
	find src -name '*.nb[ic]' -delete
