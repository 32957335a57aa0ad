# Every target sets up what it needs: a virtual environment in .venv, filled from requirements.lock. Nothing is
# installed outside this folder, and nothing is installed twice.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK_FLAGS ?=

# A user's own settings must not change where or what is installed here. How the network is reached (index, proxy,
# certificates) stays theirs to say.
unexport PIP_BREAK_SYSTEM_PACKAGES PIP_CONSTRAINT PIP_DRY_RUN PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_IGNORE_INSTALLED
unexport PIP_NO_BINARY PIP_NO_BUILD_ISOLATION PIP_NO_DEPS PIP_ONLY_BINARY PIP_PREFIX PIP_PYTHON PIP_REQUIRE_HASHES
unexport PIP_REQUIRE_VIRTUALENV PIP_ROOT PIP_TARGET PIP_USER
unexport UV_CONSTRAINT UV_FIND_LINKS UV_OVERRIDE UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH VIRTUAL_ENV

.DELETE_ON_ERROR:
.PHONY: help setup run bench test test-components test-dashboard test-cluster test-objectstore test-image test-helm test-exhaustive test-servers lint format lock wheel bench-scheduler bench-dashboard bench-dashboard-live clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-20s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make .venv and install the project and its tools into it

$(STAMP): requirements.lock pyproject.toml
	@echo "Setting up $(VENV) (once; it needs the network and about 4 GB)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "$(PYTHON) is missing or is not Python 3.11, 3.12 or 3.13." >&2; \
	  echo "Install one (Debian: apt-get install python3 python3-venv python3-dev), or name it:" >&2; \
	  echo "make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet 'uv>=0.5'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock || \
	  $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

run: $(STAMP) ## run the Chicago taxi pipeline, from its CSV file to a pushed model
	$(BIN)/penstock run pipelines/chicago_taxi

test: $(STAMP) ## run every test (some need the servers of `make test-servers`)
	$(BIN)/python -m pytest

test-components: $(STAMP) ## compare the components with TFX's own, on many kinds of data
	$(BIN)/python -m pytest tests/components

test-dashboard: $(STAMP) ## use the dashboard in a real browser (Chromium, see `make test-servers`) on real runs
	$(BIN)/python -m pytest tests/dashboard

test-cluster: $(STAMP) ## check packages for Kubeflow Pipelines, and run their steps one by one
	$(BIN)/python -m pytest tests/cluster

test-objectstore: $(STAMP) ## run pipelines on an S3-compatible server that fails now and then, and files on Google's too
	bash tests/objectstore/tools.sh >/dev/null
	$(BIN)/python -m pytest tests/objectstore

test-image: $(STAMP) ## build the container image with Docker Engine and run a pipeline in it (as root)
	$(BIN)/python -m pytest tests/image

test-helm: $(STAMP) ## check the Helm chart: schemas, policies, and what a real API server says of it
	$(BIN)/python -m pytest tests/deploy

test-exhaustive: $(STAMP) ## kill runs at every place and at a hundred random moments; fill disks and set clocks (as root)
	$(BIN)/python -m pytest -m exhaustive

test-servers: ## install the servers the tests start (Debian packages; needs root)
	bash tests/servers/install.sh

lint: $(STAMP) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP) ## resolve requirements.lock anew; LOCK_FLAGS=--upgrade takes the newest releases
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --override overrides.txt --extra dashboard --extra dev \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
	  $(LOCK_FLAGS) --output-file requirements.lock pyproject.toml

wheel: $(STAMP) ## build dist/penstock-VERSION-py3-none-any.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

bench: $(STAMP) ## compare with TFX's own runner, and write benchmarks/README.md (BENCH_FLAGS="--only small")
	$(BIN)/python -m benchmarks.against_tfx $(BENCH_FLAGS)

bench-scheduler: $(STAMP) ## measure what the local scheduler adds to a node (20 minutes; BENCH_FLAGS=--write keeps it)
	$(BIN)/python benchmarks/scheduler.py $(BENCH_FLAGS)

bench-dashboard: $(STAMP) ## measure the dashboard's pages on a store of 200,000 runs (half an hour, 40 GB of disk)
	$(BIN)/python -m benchmarks.dashboard $(BENCH_FLAGS)

bench-dashboard-live: $(STAMP) ## let 50 clients watch one run while its server is killed (BENCH_FLAGS="--minutes 10")
	$(BIN)/python -m benchmarks.dashboard_live $(BENCH_FLAGS)

clean: ## remove .venv, caches and build results; runs and pushed models stay
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
