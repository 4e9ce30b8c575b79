# The two commands of a fresh clone: `make study` and `make test`. `make help` lists all.

PYTHON ?= python3.11
MODE ?= hybrid
SEED ?= 0
BIN = .venv/bin
INSTALLED = .venv/installed

.PHONY: help install study test test-all test-gpu train lint lock

help:                ## this list
	@grep -E '^[a-z.-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

study: $(INSTALLED)         ## the whole ablation in miniature, then the report
	$(BIN)/python sweeps/launch.py

test: $(INSTALLED)          ## the tests that take less than a minute each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(INSTALLED)      ## the rest: marked slow, slurm, browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "(slow or slurm or browser) and not gpu"

test-gpu: $(INSTALLED)      ## what a card can show in ten minutes (docs/gpu.md); skipped, with the reason, without one
	$(BIN)/python -m pytest -rs -s -m gpu tests/gpu

train: $(INSTALLED)         ## one run: make train MODE=hybrid SEED=0
	mkdir -p runs
	$(BIN)/papermill notebooks/train.ipynb runs/train-$(MODE)-s$(SEED).ipynb -p mode $(MODE) -p seed $(SEED)

lint: $(INSTALLED)          ## ruff, mypy, the Dockerfile, and notebooks without outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

lock: $(INSTALLED)          ## writes requirements.lock anew from what is installed
	(head -1 requirements.lock; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//') > requirements.lock.new
	mv requirements.lock.new requirements.lock

install: $(INSTALLED)  ## the pinned packages, into .venv

# A file, written last: the folder is there, and new, as soon as an installation has begun.
$(INSTALLED): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	mkdir -p .venv/etc/ipython  # a notebook executed by hand need not begin with ipykernel's warning about local TCP
	echo 'c.IPKernelApp.log_level = 40' > .venv/etc/ipython/ipython_kernel_config.py
	touch $@
