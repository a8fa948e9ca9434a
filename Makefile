# Every target works from a clean clone: what it needs is set up first (tools/setup.sh). `make help` explains them.
# The text behind ## is what `make help` prints. Commands use relative paths, so that the checkout's path may hold blanks.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin

CONFIG ?= demo
DATA ?=
ARGS ?=
GPU ?=
KEY ?=
OLD ?=
NEW ?=
# Processes that share the tests; auto: one per core where the memory holds them (tests/conftest.py), 0: none beside pytest's own.
WORKERS ?= auto
# What pytest makes of a test file is kept beside it, also where containers tell Python to keep nothing: each process would make it anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: help
help: ## this text
	@echo "usage: make TARGET [NAME=value ...]"
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo
	@echo "  make run DATA=folder CONFIG=cpu ARGS='key=value ...'   the pipeline on your own images (configurations: demo, cpu, full, paper)"
	@echo "  PYTHON=/path/to/python3.11 make setup                  a Python that is not found by itself"

.PHONY: setup
setup: ## make or repair .venv: Python 3.11, locked packages, this project (GPU=1: with CUDA's libraries)
	@tools/setup.sh $(if $(filter-out 0,$(GPU)),gpu)

.PHONY: run
run: setup ## run the whole pipeline: on synthetic demo images, or with DATA=folder CONFIG=name on your own
	@CXR_CALLED_BY=make $(BIN)/cxr run --config "$(CONFIG)" $(if $(DATA),--data "$(DATA)") $(ARGS)

.PHONY: tensorboard
tensorboard: setup ## show the learning curves of all runs below workspace/, at http://localhost:6006 (ARGS='--port 6007', --bind_all)
	@[ -d workspace ] || { echo "workspace/: holds no runs yet; make run makes one" >&2; exit 1; }
	@$(BIN)/tensorboard --logdir workspace $(ARGS)

.PHONY: test
test: setup ## run all tests except the longest (ARGS='tests/trainer -x' for some, ARGS=--cov with their coverage, WORKERS=0 in one process)
	@$(PYTEST) -m "not long" $(ARGS)

.PHONY: test-all
test-all: setup ## run all tests: before a release, and after changes of shared parts
	@$(PYTEST) $(ARGS)

.PHONY: test-fast
test-fast: setup ## run the tests that take less than a second each
	@$(PYTEST) -m "not slow and not seconds" $(ARGS)

.PHONY: flink-test
flink-test: setup ## run the Beam-based nodes on a Flink cluster of this machine, and kill a part of it meanwhile (needs Java and Maven; minutes)
	@tools/flink.sh
	@$(BIN)/python -m pytest -m flink tests/clusters $(ARGS)

.PHONY: spark-test
spark-test: setup ## run the same nodes on a Spark cluster of this machine, likewise
	@tools/spark.sh
	@$(BIN)/python -m pytest -m spark tests/clusters $(ARGS)

.PHONY: check
check: lint test-fast ## lint, types and the fast tests: before every commit

.PHONY: lint
lint: setup ## check style, format, types and shell scripts; changes nothing
	@failed=; \
	$(BIN)/ruff check || failed=1; \
	$(BIN)/ruff format --check || failed=1; \
	tools/typecheck.sh || failed=1; \
	$(BIN)/shellcheck tools/*.sh .ci/run || failed=1; \
	if [ "$$failed" ]; then echo "lint: failed ('make format' repairs style and format)" >&2; exit 1; fi

.PHONY: format
format: setup ## repair style and format
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

.PHONY: bench
bench: setup ## compare each step with what it replaces, about 10 minutes (ARGS='--rows ingest head', ARGS=--help; docs/performance.md)
	@PYTHONPATH=benchmarks $(BIN)/python -m bench $(ARGS)

.PHONY: bench-compare
bench-compare: setup ## compare the newest results of make bench with older ones (OLD=workspace/bench/FILE.json, NEW=FILE.json)
	@[ -n "$(OLD)" ] || { echo "OLD= names no file; ls workspace/bench shows what make bench has kept" >&2; exit 2; }
	@PYTHONPATH=benchmarks $(BIN)/python -m bench.compare "$(OLD)" $(if $(NEW),"$(NEW)")

.PHONY: fuzz
fuzz: setup ## give 10,000 hostile inputs to each reader and server call (ARGS='dicom --runs 200000', ARGS=--help; docs/security.md)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/fuzz.lock || \
		echo "fuzz: atheris could not be installed (see above)" >&2
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: audit
audit: setup ## ask PyPI for advisories about the locked packages; needs the network (ARGS='--ignore-vuln ID')
	@tools/audit.sh $(ARGS)

.PHONY: sbom
sbom: setup ## list the Python packages of the images (CycloneDX) in build/sbom
	@tools/sbom.sh

.PHONY: lock
lock: setup ## write requirements/*.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@tools/lock.sh $(ARGS)

.PHONY: docs
docs: setup ## build the documentation with the reference of all functions as a site, in build/site
	@tools/docs.sh

.PHONY: notebook
notebook: setup ## make workspace/tour.ipynb of docs/tour.md, to go through in Jupyter
	@mkdir -p workspace
	@$(BIN)/jupytext --quiet --to ipynb --output workspace/tour.ipynb docs/tour.md
	@echo workspace/tour.ipynb

.PHONY: wheel
wheel: setup ## build the project's wheel into dist/
	@rm -rf build dist
	@$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

.PHONY: clean
clean: ## remove the set-up: .venv, caches, built files (what runs wrote stays)
	rm -rf .venv .cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './workspace/*' -prune -exec rm -rf {} +

.PHONY: clean-runs
clean-runs: ## remove what runs wrote below workspace/, all models and records; the key of the pseudonyms stays (KEY=1 removes it too)
	@if [ -d workspace ]; then echo "removing from workspace/ ($$(du -sh workspace | cut -f 1)):"; \
	find workspace/ -mindepth 1 -maxdepth 1 $(if $(KEY),,! -name pseudonym.key) -printf '  %f\n' -exec rm -rf {} +; \
	if [ -e workspace/pseudonym.key ]; then echo "kept: workspace/pseudonym.key (make clean-runs KEY=1 removes it; with another key every pseudonym changes)"; \
	elif [ ! -L workspace ]; then rmdir workspace; fi; \
	else echo "workspace/: nothing there"; fi
