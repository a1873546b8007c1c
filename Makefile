# Every target does its own set-up: a virtual environment in .venv with the locked versions.
SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
export PYTHON
.DEFAULT_GOAL := help

HOST ?= 127.0.0.1
PORT ?= 8080
TASKS ?= examples/tasks.yaml
TESTS ?= tests
EXTRAS := demo,parquet,ray,bench,test,dev
# torch comes first and by its exact version: a range would let pip choose a build for another device.
TORCH := $(shell sed -n 's/^torch==//p' requirements.lock)
READY := .venv/.ready
BIN := .venv/bin

# Intra-op threads would fight with each other here; tests that need more ask for them.
QUIET := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false

.PHONY: help serve test check format bench lock clean

help:  ## Show the targets
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

serve: $(READY)  ## Serve the demo's tasks on http://127.0.0.1:8080 (HOST, PORT and TASKS may be set)
	@exec $(BIN)/polyhead serve --tasks $(TASKS) --host $(HOST) --port $(PORT)

test: $(READY)  ## Run all tests (TESTS=tests/sources runs some)
	@$(QUIET) $(BIN)/python -m pytest $(TESTS)

check: $(READY)  ## Format, lint, types and layering
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(QUIET) $(BIN)/python -m pytest -q tests/test_layering.py tests/test_style.py

format: $(READY)  ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

bench: $(READY)  ## Measure against PEFT and the bare backbone, over HTTP, and beside a busy neighbour
	@$(BIN)/python -m benchmarks.mixed_batch
	@$(BIN)/python -m benchmarks.http_load --tasks $(TASKS)
	@$(BIN)/python -m benchmarks.busy_neighbour

lock:  ## Write requirements.lock anew from a clean environment
	@$(FIND_PYTHON); $$python -m venv --clear .venv-lock
	@.venv-lock/bin/pip install -qq torch==$(TORCH)
	@.venv-lock/bin/pip install -qq --editable '.[$(EXTRAS)]'
	@{ head -n 1 requirements.lock; .venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } \
		> .venv-lock/new
	@mv .venv-lock/new requirements.lock; rm -rf .venv-lock

clean:  ## Remove the environment and all caches
	@rm -rf .venv .venv-lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml requirements.lock
	@$(FIND_PYTHON); \
	echo "Setting up .venv with $$python; the first time this takes a few minutes."; \
	$$python -m venv .venv
	@$(BIN)/pip install -qq --no-compile torch==$(TORCH)
	@$(BIN)/pip install -qq --no-compile --constraint requirements.lock --editable '.[$(EXTRAS)]'
	@touch $@

# Sets $$python, or says what is missing and ends the recipe.
define FIND_PYTHON
python=; \
for name in $${PYTHON:-python3 python3.13 python3.12 python3.11}; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then python=$$name; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "Python 3.11 or newer is missing. Install it (Debian: apt-get install python3 python3-venv;" >&2; \
	echo "macOS: brew install python), or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	exit 1; \
fi; \
if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	echo "The venv module of $$python is missing. Install it (Debian: apt-get install python3-venv)." >&2; \
	exit 1; \
fi
endef
