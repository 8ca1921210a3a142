# Each target makes its environment first; only python3 (3.11 or newer) and make must be installed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: superset deploy-check deploy-lock dev test check bench fuzz chaos clean venv lock picture

dev: venv          ## start the embedded stack and the Dagster UI; Ctrl-C stops both; KAFKA=apache
	@$(BIN)/polygon-assets dev $(if $(KAFKA),--kafka $(KAFKA))

test: venv         ## run every test but the long ones, three files at a time
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long"

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

chaos: venv        ## kill, stop and cut everything, then prove the tables (MINUTES=3 SEED= KAFKA=)
	@$(BIN)/python -m polygon_assets_tests.chaos --minutes $(or $(MINUTES),3) \
		--kafka $(or $(KAFKA),embedded) $(if $(SEED),--seed $(SEED))

superset: venv .venv-superset/.ready  ## dashboards on the running stack (start make dev first)
	@$(BIN)/python -m scripts.superset

# jsii runs Node, which .venv-deploy brings with it. W3010: zones are a choice of the deployment,
# because one may lack an instance type. mypy reads the CDK for two minutes, so it runs beside.
deploy-check: .venv-deploy/.ready .venv-checkov/.ready  ## prove deploy/aws and deploy/kubernetes without an account
	@export PATH="$(CURDIR)/.venv-deploy/bin:$$PATH"; set -e; \
	mypy --config-file deploy/aws/mypy.ini --cache-dir .mypy_cache/deploy -p deploy.aws & types=$$!; \
	trap 'kill $$types 2> /dev/null || true' EXIT; \
	python -m deploy.aws.app --deployment deploy/aws/deployment.example.toml --output build/cdk; \
	cfn-lint --ignore-checks W3010 -- build/cdk/*.template.json; \
	.venv-checkov/bin/checkov -d build/cdk --framework cloudformation --compact --quiet \
		--skip-download; \
	.venv-checkov/bin/checkov -d .github --framework github_actions --compact --quiet \
		--skip-download; \
	.venv-checkov/bin/checkov --config-file deploy/kubernetes/checkov.yaml; \
	.venv-checkov/bin/hadolint deploy/Dockerfile; \
	python -m pytest deploy/aws/tests; \
	wait $$types

.venv-deploy/.ready: deploy/aws/requirements.lock
.venv-checkov/.ready: deploy/aws/checkov.lock
.venv-flink/.ready: deploy/flink/requirements.lock
.venv-superset/.ready: deploy/superset/requirements.lock
# uv takes seconds where .venv has it; pip takes a minute or two and needs no .venv.
.venv-deploy/.ready .venv-checkov/.ready .venv-flink/.ready .venv-superset/.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $@"; exit 1; }
	@echo "installing the locked packages into $(@D) (once)"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@{ test -x $(BIN)/uv && $(BIN)/uv pip sync --quiet --python $(@D) --require-hashes $<; } \
		|| $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
			--no-deps -r $<
	@touch $@

deploy-lock: venv  ## resolve deploy/*/*.in into their locks again
	@for name in aws/requirements aws/checkov flink/requirements superset/requirements; do \
		$(BIN)/uv pip compile deploy/$$name.in --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q \
		-o deploy/$$name.lock || exit 1; done

picture: venv      ## take the pictures in docs/ from the running system (needs chromium)
	@$(BIN)/python -m scripts.picture

lock: venv         ## resolve pyproject.toml into requirements.lock again
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:             ## remove every .venv, the embedded stack's data, caches and Dagster's empty folders
	rm -rf .venv .venv.former \
		.venv-deploy .venv-checkov .venv-flink .venv-superset build .local .hypothesis .mypy_cache \
		.ruff_cache .pytest_cache .import_linter_cache logs .logs_queue
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@$(PYTHON) scripts/bootstrap.py
