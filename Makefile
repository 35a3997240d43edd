# make train     an environment, and the bigram net on the embedded names
# make test      an environment, and the tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test lint tensorboard bench screenshots lock clean

train: .venv/ready
	$(BIN)/python scripts/train.py model=nn optim.lr=15

test: .venv/ready
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tensorboard: .venv/ready
	$(BIN)/tensorboard --logdir outputs --host 127.0.0.1

bench: .venv/ready
	$(BIN)/python scripts/bench.py

screenshots: .venv/ready
	$(BIN)/python benchmarks/screenshots.py

# torch first and by version, so that a build made for this machine (CPU, CUDA) can be installed beforehand instead
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch .venv/ready

# needs uv, and a CPU build of torch where uv looks (UV_FIND_LINKS), or the lock fills with CUDA's packages
lock:
	echo torch==2.13.0 | uv pip compile pyproject.toml --extra dev --constraint - --no-emit-package torch \
		--generate-hashes --python-version 3.11 --no-header --no-annotate --output-file requirements.lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
