# Set-up, start and checks. `make` alone lists the targets.
VENV := .venv
PY := $(VENV)/bin/python
CODE := app.py config engine pages
KERNELS := $(wildcard engine/quant/*.py engine/strategies/*.py engine/simulation/plain_*.py engine/simulation/kernel*.py)
WORKERS ?= 2

# Stamps: a step runs again only when what it depends on is newer.
INSTALLED := $(VENV)/installed
TOOLS := $(VENV)/tools-installed
WARMED := $(VENV)/kernels-warmed

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHON
# Without bytecode and cached machine code every start would compile for seconds.
unexport PYTHONDONTWRITEBYTECODE
ifdef PORT
export QUARTERDECK_PORT := $(PORT)
endif

.DEFAULT_GOAL := help
.PHONY: help setup run test test-long soak check lint audit clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -e 's/:.*## /|/' | awk -F'|' '{ printf "  make %-10s %s\n", $$1, $$2 }'

run: setup ## Set up if needed and serve the console on http://127.0.0.1:8501 (make run PORT=8600 for another port)
	@exec $(PY) -m engine console

setup: $(INSTALLED) $(WARMED) ## Create .venv and install what is pinned in requirements.lock

test: lint ## Set up with the test tools, then run every check and the tests
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(TOOLS) $(WARMED) ## The tests that run for long, with their full counts
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m long

soak: $(TOOLS) $(WARMED) ## Random faults at the stand-in exchange for half an hour; prints its seed
	QUARTERDECK_SOAK_S=1800 $(PY) -m pytest tests/faults/test_fault_random.py -s

check: test ## The same as make test

lint: $(TOOLS) $(WARMED) ## Style, types and the import contract
	$(PY) -m ruff check .
	$(PY) -m mypy --strict $(CODE)
	$(VENV)/bin/lint-imports

audit: $(TOOLS) ## Look up known vulnerabilities of everything pinned (needs a network)
	@sh .ci/audit $(PY)

clean: ## Remove .venv and every cache; the data folder stays
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(CODE) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(PY):
	@python="$$(sh .ci/find-python)" && echo "Creating $(VENV) with $$($$python --version)" && $$python -m venv --clear $(VENV)

$(INSTALLED): requirements.lock | $(PY)
	@echo "Installing what requirements.lock pins (about 2 GB; the first time takes a minute or two)"
	@$(PY) -m pip install --quiet --quiet --no-input --compile --only-binary :all: --requirement requirements.lock
	@touch $@

$(TOOLS): requirements-dev.lock $(INSTALLED)
	@echo "Installing the test tools"
	@$(PY) -m pip install --quiet --quiet --no-input --compile --only-binary :all: --requirement requirements-dev.lock
	@touch $@

# Machine code on disk knows nothing of a changed function it calls, so it is made anew.
$(WARMED): $(INSTALLED) $(KERNELS)
	@echo "Compiling"
	@find engine -name '*.nb[ic]' -delete
	@$(PY) -m compileall -q $(CODE)
	@$(PY) -c 'from engine.strategies.warm import compile_all; compile_all()'
	@$(PY) -c 'from engine.simulation.warm import compile_all; compile_all()'
	@touch $@
