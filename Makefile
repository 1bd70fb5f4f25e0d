# make demo   segment a real head MRI and show the result
# make test   every test but the slow ones
# make check  style, types, import rules, docs in step with the code
# Each prepares .venv by itself; a second run is quick.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
CODE := medseg plugins/*/src ui/src
# Two processes with one thread each: torch's own threads would only get in each other's way.
TEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

.PHONY: demo test coverage test-slow test-ui fuzz check format docs clean

demo: $(INSTALLED)
	$(BIN)/medseg demo

test: $(INSTALLED)
	$(TEST)

# The same, and which lines of the library no test runs; to watch them takes time.
coverage: $(INSTALLED)
	$(TEST) --cov --cov-report=term:skip-covered

test-slow: $(INSTALLED)
	$(TEST) -m slow

test-ui: $(INSTALLED) ui/js/node_modules/.package-lock.json
	$(TEST) -m "ui or not ui" ui/tests

# npm writes this file last; only rebuilding the viewer's bundle needs it.
ui/js/node_modules/.package-lock.json: ui/js/package.json ui/js/package-lock.json
	cd ui/js && npm ci --no-audit --no-fund
	touch $@

fuzz: $(INSTALLED)
	$(BIN)/python fuzz/gates.py --seconds 600

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/pytest -q -p no:cacheprovider tests/architecture
	$(BIN)/python docs/generate.py --check

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv demo-output

$(INSTALLED): requirements.txt pyproject.toml $(wildcard plugins/*/pyproject.toml) ui/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(INSTALLED)
