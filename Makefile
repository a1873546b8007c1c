# Every target does its own set-up: a virtual environment in .venv with the locked versions.
SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
export PYTHON
.DEFAULT_GOAL := help

HOST ?= 127.0.0.1
PORT ?= 8080
TASKS ?= examples/tasks.yaml
TESTS ?= tests
WORKERS ?= 2
MINUTES ?= 10
EXTRAS := demo,parquet,otel,grpc,ray,bench,test,dev
# torch comes first and by its exact version: a range would let pip choose a build for another device.
TORCH := $(shell sed -n 's/^torch==//p' requirements.lock)
READY := .venv/.ready
BIN := .venv/bin

# The image; docs/container.md. ENGINE chooses between engines, IMAGE_OPTIONS go to its build.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
DEVICE ?= cpu
IMAGE ?= polyhead
IMAGE_EXTRAS ?= $(shell sed -n 's/^ARG EXTRAS=//p' Dockerfile)
IMAGE_OPTIONS ?=
IMAGE_TAG ?= $(VERSION)$(if $(filter cuda,$(DEVICE)),-cuda)$(if $(findstring ray,$(IMAGE_EXTRAS)),-ray)
ARCH ?= $(patsubst arm64,aarch64,$(shell uname -m))
# The C libraries whose wheels the image's Debian can use, and the name that older ones share.
PLATFORMS := manylinux2014_$(ARCH) $(foreach minor,17 24 26 27 28 31 34 35 36,manylinux_2_$(minor)_$(ARCH))
# The same choice as in the Dockerfile.
TORCH_WANTED = $(if $(filter cuda,$(DEVICE)),torch===$(TORCH),torch==$(TORCH)+cpu)

# Intra-op threads would fight with each other here; tests that need more ask for them.
QUIET := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false

.PHONY: help serve test check format soak bench lock wheelhouse image clean

help:  ## Show the targets
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

serve: $(READY)  ## Serve the demo's tasks on http://127.0.0.1:8080 (HOST, PORT and TASKS may be set)
	@exec $(BIN)/polyhead serve --tasks $(TASKS) --host $(HOST) --port $(PORT)

test: $(READY)  ## Run all tests (TESTS=tests/sources runs some, WORKERS=0 in one process)
	@.ci/packages
	@$(QUIET) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder $(TESTS)

check: $(READY)  ## Format, lint, types and layering
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(QUIET) $(BIN)/python -m pytest -q tests/test_layering.py tests/test_style.py

format: $(READY)  ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

soak: $(READY)  ## Ask everything at once for ten minutes: no wrong answer, flat memory (MINUTES may be set)
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

bench: $(READY)  ## Run the benchmark suite and write benchmarks/report.md (BENCH="--quick" only sees that all of it works)
	@$(BIN)/python -m benchmarks.suite $(BENCH)

lock:  ## Write requirements.lock anew from a clean environment
	@$(FIND_PYTHON); $$python -m venv --clear .venv-lock
	@.venv-lock/bin/pip install -qq torch==$(TORCH)
	@.venv-lock/bin/pip install -qq --editable '.[$(EXTRAS)]'
	@{ head -n 1 requirements.lock; .venv-lock/bin/pip freeze --all --exclude-editable \
		| sed -e '/^pip==/d' -e '/^wheel==/d' -e 's/+cpu$$//'; } > .venv-lock/new
	@mv .venv-lock/new requirements.lock; rm -rf .venv-lock

wheelhouse:  ## Fetch what the image installs into wheelhouse/ (DEVICE=cuda for CUDA)
	@$(FIND_PYTHON); rm -rf wheelhouse wheelhouse.new; \
	if ! $$python -m pip download --quiet --dest wheelhouse.new --only-binary :all: --python-version 3.11 \
		$(addprefix --platform ,$(PLATFORMS)) --constraint requirements.lock \
		'$(TORCH_WANTED)' '.[$(IMAGE_EXTRAS)]'; \
	then \
		rm -rf wheelhouse.new; \
		echo "Not all packages were found. $(TORCH_WANTED) is on the index that PyTorch's own site names" >&2; \
		echo "for $(DEVICE): add that to pip's configuration, or name a folder with the file (PIP_FIND_LINKS)." >&2; \
		exit 1; \
	fi; \
	mv wheelhouse.new wheelhouse

image:  ## Build the image with docker, podman or buildah (DEVICE=cuda for CUDA)
	@$(FIND_ENGINE); DOCKER_BUILDKIT=1 $$build --tag '$(IMAGE):$(IMAGE_TAG)' \
		--build-arg 'DEVICE=$(DEVICE)' --build-arg 'EXTRAS=$(IMAGE_EXTRAS)' --build-arg 'VERSION=$(VERSION)' \
		--build-arg "REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
		--build-arg "SOURCE=$$(git remote get-url origin 2>/dev/null | grep '^https\?://[^@]*$$' || true)" \
		$(IMAGE_OPTIONS) .

clean:  ## Remove the environment and all caches
	@rm -rf .venv .venv-lock wheelhouse build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

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

# Sets $$build, or says what is missing and ends the recipe. Health checks need Docker's image format.
define FIND_ENGINE
build=; \
for name in $${ENGINE:-docker podman buildah}; do \
	if ! "$$name" info >/dev/null 2>&1; then continue; fi; \
	case $$name in \
		*docker) build="$$name build" ;; \
		*podman) build="$$name build --format docker" ;; \
		*) build="$$name bud --format docker" ;; \
	esac; break; \
done; \
if [ -z "$$build" ]; then \
	echo "No container engine answers: docker (is its daemon running?), podman or buildah is needed" >&2; \
	echo "(Debian: apt-get install podman)." >&2; \
	exit 1; \
fi
endef
