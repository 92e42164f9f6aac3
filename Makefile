# The two commands: `make repro` builds the environment and the model, `make test` builds the environment and tests.
PYTHON ?= python3
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin

# uv does not read pip's settings: hand it the extra wheel folder, if pip has one (a CPU build of torch, say).
UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
export UV_FIND_LINKS
# Stages, and the experiment queue's worker, call `python` and `dvc` from PATH.
export PATH := $(BIN):$(PATH)

.PHONY: repro test check claims clean-env
repro: $(VENV)/.ready
	@-python -m pipeline plan brief  # what would run; `python -m pipeline plan` tries the trainings and says what they take
	dvc repro
	-python -m pipeline track  # W&B runs of what ran, offline unless logged in; nothing waits for it
	@python -m pipeline result  # before and after

test: $(VENV)/.ready
	python -m pytest -n 2 --dist loadfile  # files stay whole: what a file's tests share is made once

# Trained comparisons, hours of them; TRIBUTARY_DATA names the folder of benchmark data. Each writes docs/claims/<name>.json.
claims: $(VENV)/.ready
	python -m pytest -m claim -s tests/claim

check: $(VENV)/.ready
	ruff format --check . && ruff check . && lint-imports && pyright

# The CPU build of torch, where the extra folder has it, needs no CUDA libraries.
HASHES := $(if $(wildcard $(UV_FIND_LINKS)/torch-*+cpu-*),hashes-cpu.txt,hashes-cuda.txt)

# Nothing is installed whose hash is not known, the installer and what builds this package included.
# Compiled at install, so that no first command pays for it (and where writing bytecode is switched off, none ever would).
$(VENV)/.ready: pyproject.toml constraints.txt hashes.txt $(HASHES)
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' hashes.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r $(VENV)/uv.txt
	$(BIN)/uv pip install -q --compile-bytecode -p $(BIN)/python --require-hashes -r $(HASHES)
	$(BIN)/uv pip install -q --compile-bytecode -p $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -c 'import bm25s, faiss, pytorch_lightning, pytrec_eval, transformers, wandb'  # a broken install stops here
	touch $@

clean-env:
	rm -rf $(VENV)
