# Two commands do all the set-up: `make run` shows what initbench does, `make test` checks that it is right.
# Both make .venv on their first call (with uv where it is installed, else with venv and pip) and reuse it later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPENDS := pyproject.toml constraints.txt

.PHONY: run test lint types tests reliability benchmark results catalogue inspections clean

run: $(VENV)/installed
	$(BIN)/initbench run configs/xavier.yaml
	$(BIN)/initbench compare --schemes xavier,he,normal --seeds 7 --epochs 3

test: lint types tests

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed-dev
	$(BIN)/mypy

tests: $(VENV)/installed-dev
	$(BIN)/pytest -n 2

reliability: $(VENV)/installed-dev
	$(BIN)/python benchmarks/readme_reliability.py

benchmark: $(VENV)/installed-dev
	$(BIN)/python benchmarks/throughput.py

results: $(VENV)/installed
	$(BIN)/python benchmarks/readme_results.py

catalogue: $(VENV)/installed
	$(BIN)/python benchmarks/readme_catalogue.py

inspections: $(VENV)/installed
	$(BIN)/python benchmarks/readme_inspect.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info

$(VENV)/installed: $(DEPENDS)
	$(call install,.)
	@touch $@

$(VENV)/installed-dev: $(DEPENDS)
	$(call install,.[dev])
	@touch $@ $(VENV)/installed

# $(1): what to install, with the exact versions that were tested
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "initbench needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@if uv --version >/dev/null 2>&1; then \
	  test -x $(BIN)/python || uv venv --quiet --python "$(PYTHON)" $(VENV); \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '$(1)'; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  test -x $(BIN)/pip || $(BIN)/python -m ensurepip --upgrade; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '$(1)'; \
	fi
endef
