VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip --disable-pip-version-check install -qq -c constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-contract test-rest check bench bench-peers clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Run the example application, signup
	@$(PY) -m examples.signup

# In two halves at once: the contract of the brokers, and all the rest, take about as long.
test: $(VENV)/dev.stamp ## Run every test, the slow ones with real processes too
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 test-contract test-rest

test-contract: $(VENV)/dev.stamp
	@$(PY) -m pytest tests/contract

test-rest: $(VENV)/dev.stamp
	@$(PY) -m pytest --ignore=tests/contract

check: $(VENV)/dev.stamp ## Lint, check the format, the types and the architecture
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-logo

bench: $(VENV)/dev.stamp ## Run the benchmarks
	@$(PY) -m bench

bench-peers: $(VENV)/dev.stamp ## Run qcore beside its Python peers, each in an environment of its own
	@$(PY) -m bench.peers

clean: ## Remove the environment, caches and build products
	rm -rf $(VENV) .bench build dist signup-output .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@echo "Making $(VENV) (once) ..." >&2
	@python3.11 -m venv --clear $(VENV) 2>/dev/null || python3 -m venv --clear $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(PY)
	@echo "Installing what the demo needs (once) ..." >&2
	@$(PIP_INSTALL) -e '.[demo,cli]'
	@touch $@

# The dev extra contains the demo's.
$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(PY)
	@echo "Installing what the tests and checks need (once) ..." >&2
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/demo.stamp $@
