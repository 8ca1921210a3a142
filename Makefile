# Each target makes its own .venv first; only python3 (3.11 or newer) and make have to be there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: dev test check bench clean venv lock picture

dev: venv          ## the embedded stack and the Dagster UI; Ctrl-C stops all
	@$(BIN)/polygon-assets dev

test: venv         ## every test but the long ones, two files at a time
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long"

check: venv        ## formatting, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: venv        ## throughput against baselines, one table
	@$(BIN)/python -m bench

picture: venv      ## docs/lineage.png from the running UI (needs chromium)
	@$(BIN)/python scripts/picture.py

lock: venv         ## resolve pyproject.toml into requirements.lock again
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:             ## remove .venv, the embedded stack's data, all caches and the empty folders that Dagster makes
	rm -rf .venv .venv.former .local .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache logs .logs_queue
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(PYTHON) scripts/bootstrap.py
