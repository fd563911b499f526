PYTHON ?= python3
BIN := .venv/bin

# As maskgraph serve starts Ray: serve_app/commands/serving/environment.py says why.
RAY_ENV := env -u TMPDIR RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0

.PHONY: serve test check format protos audit

# Token authentication stays on, which Ray sets up by itself for the cluster that it starts here: whoever has another
# account on this machine reaches loopback, too.
serve: .venv/runtime
	$(BIN)/maskgraph serve serve_config.yaml

test: .venv/tests
	$(RAY_ENV) $(BIN)/python -m pytest

check: .venv/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/maskgraph check serve_config.yaml configs/gpu.yaml configs/paddlehub.yaml
	$(BIN)/maskgraph check --elsewhere configs/cluster_app.yaml configs/rayservice.yaml

format: .venv/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Asks PyPI for what is known of the versions that are installed.
audit: .venv/runtime
	$(BIN)/python -m pip install --group audit
	$(BIN)/pip-audit --skip-editable

protos: .venv/tests
	$(BIN)/python -m serve_app.grpc.generate

$(BIN)/python:
	$(PYTHON) -m venv .venv

# An existing environment keeps its Python; only what pyproject.toml asks for is brought up to date.
.venv/runtime: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --editable '.[service]'
	touch $@

.venv/tests: .venv/runtime
	$(BIN)/python -m pip install --group test
	touch $@
