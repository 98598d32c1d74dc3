# `make demo` and `make test` work on a fresh clone: they make .venv and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-kills check format lint types nano-untrained clean

demo: $(VENV)/.run
	$(BIN)/artimuse demo

test: $(VENV)/.dev
	$(BIN)/pytest -m "not kills"

# Drivers, workers and nodes killed again and again: some minutes.
test-kills: $(VENV)/.dev
	$(BIN)/pytest tests/pipelines/test_kills.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not kills"

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The built-in demonstration model, from its seed.
nano-untrained: $(VENV)/.dev
	$(BIN)/python scripts/make_nano.py

clean:
	rm -rf $(VENV) demo-output build *.egg-info

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "artimuse needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing artimuse into $(VENV): a few minutes the first time"
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing artimuse and its development tools into $(VENV): a few minutes the first time"
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@ $(VENV)/.run
