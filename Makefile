# Each target makes .venv first; only python3 (3.11 or newer) and make must be installed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: dev test check bench fuzz clean venv lock picture

dev: venv          ## start the embedded stack and the Dagster UI; Ctrl-C stops both; KAFKA=apache
	@$(BIN)/polygon-assets dev $(if $(KAFKA),--kafka $(KAFKA))

test: venv         ## run every test but the long ones, three files at a time
	@$(BIN)/python -m pytest -n 3 --dist loadfile -m "not long"

check: venv        ## check formatting, lint, types and layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: venv        ## measure throughput against baselines, in one table
	@$(BIN)/python -m bench

fuzz: venv         ## run every reader of outside input on mutated input (SECONDS=10 RUNS= SEED=1)
	@$(BIN)/python -m fuzz --seconds $(or $(SECONDS),10) --runs $(or $(RUNS),1000000000) \
		--seed $(or $(SEED),1)

picture: venv      ## take docs/lineage.png from the running UI (needs chromium)
	@$(BIN)/python -m scripts.picture

lock: venv         ## resolve pyproject.toml into requirements.lock again
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:             ## remove .venv, the embedded stack's data, caches and Dagster's empty folders
	rm -rf .venv .venv.former .local .hypothesis .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache logs .logs_queue
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(PYTHON) scripts/bootstrap.py
