PYTHON ?= python3
BIN := .venv/bin

.PHONY: help train test lint tensorboard bench campaign mutants screenshots lock clean

help: ## these targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

train: .venv/ready ## train the bigram net on the embedded names
	$(BIN)/python scripts/train.py model=nn optim.lr=15

test: .venv/ready ## run the tests
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal

lint: .venv/ready ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tensorboard: .venv/ready ## show the runs of outputs/ in TensorBoard
	$(BIN)/tensorboard --logdir outputs --host 127.0.0.1

bench: .venv/ready ## measure the speed beside other libraries; eight minutes
	$(BIN)/python scripts/bench.py

campaign: .venv/ready ## attack files, disks and processes at random; thirty minutes
	$(BIN)/python tests/campaigns/campaign.py out=docs/reliability.md

mutants: .venv/ready ## change the code at random and see whether the tests fail; an hour or more
	$(BIN)/python tests/campaigns/mutants.py out=docs/reliability.md

screenshots: .venv/ready ## make the README's pictures
	$(BIN)/python benchmarks/screenshots.py

# torch is installed first, so a build of it for this machine (CPU, CUDA) that is already in .venv is kept.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch .venv/ready

# Needs uv, and a CPU build of torch in UV_FIND_LINKS; with any other build the lock lists CUDA's packages.
lock: ## write requirements.lock anew
	echo torch==2.13.0 | uv pip compile pyproject.toml --extra dev --constraint - --no-emit-package torch \
		--generate-hashes --python-version 3.11 --no-header --no-annotate --output-file requirements.lock

clean: ## remove the environment and all caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
