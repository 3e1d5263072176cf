# Everything a newcomer needs: `make demo` and `make test`. Each makes its own virtual environment from the lock.
PYTHON ?= python3
PIP_INSTALL = bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement
# pip would compile with one core what it has installed.
COMPILE = bin/python -m compileall -qq -j 0 .venv/lib

# What Python has compiled is kept for the processes that follow: a test run starts some fifty of them.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-both ready compiled-tests chaos fuzz-api axe screenshots readme-screenshots check run format bench bench-console lock clean

demo: .venv/run
	.venv/bin/connector demo

# One more than there are cores: a test waits for its servers a quarter of its time.
TEST_WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")

test: ready
	.venv/bin/pytest -n $(TEST_WORKERS) --dist worksteal

test-both: ready
	.venv/bin/pytest -n $(TEST_WORKERS) --dist worksteal --database both

# While one core checks types, the other one compiles the tests, which otherwise each worker does for itself.
ready: .venv/dev
	$(MAKE) --no-print-directory --jobs=2 check compiled-tests

# What is wrong with a file that cannot be read in, the run itself will say.
compiled-tests: .venv/dev
	@.venv/bin/pytest --collect-only > /dev/null || true

chaos: .venv/dev
	.venv/bin/pytest -n0 -s --database sqlite tests/chaos/killed_bills.py

axe: .venv/dev
	.venv/bin/pytest -n0 --database sqlite tests/browser/every_role.py

screenshots: .venv/dev
	.venv/bin/pytest -n0 --database sqlite tests/browser/screenshots.py -k "not readme"

readme-screenshots: .venv/dev
	.venv/bin/pytest -n0 --database sqlite tests/browser/screenshots.py -k readme

fuzz-api: .venv/dev
	.venv/bin/pytest -n0 -s --database sqlite tests/chaos/fuzzed_api.py

check: .venv/dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

run: .venv/run
	.venv/bin/connector run

format: .venv/dev
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: .venv/dev
	.venv/bin/python tests/benchmarks/sandbox_speed.py

# Needs about 16 GB of disk and a quarter of an hour; ROWS=1000000 for less of both. FOLDER=… keeps the filled database there:
# the next time it takes a few minutes.
ROWS ?= 10000000

bench-console: .venv/dev
	PYTHONPATH=. .venv/bin/python tests/benchmarks/console_pages.py --rows $(ROWS) $(if $(FOLDER),--folder $(FOLDER)) --receiver

# One mark per set of packages; the project itself is installed in place, without touching the network. The pip that comes
# with Python may be years old, and such a one takes twice as long.
.venv/run: config/requirements.lock config/requirements-pip.lock pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/$(PIP_INSTALL) config/requirements-pip.lock
	.venv/$(PIP_INSTALL) config/requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	.venv/$(COMPILE)
	touch $@

# Its lock names all packages of the other one: one installation makes both.
.venv/dev: config/requirements-dev.lock config/requirements.lock config/requirements-pip.lock pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/$(PIP_INSTALL) config/requirements-pip.lock
	.venv/$(PIP_INSTALL) config/requirements-dev.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	.venv/$(COMPILE)
	touch .venv/run $@

# Takes the newest versions that pyproject.toml allows and writes them down with their hashes; what runs is what was tested.
COMPILE_LOCK = .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header
LOCK = $(COMPILE_LOCK) pyproject.toml --extra embedded --extra build

lock: .venv/dev
	$(LOCK) --extra dev --output-file config/requirements-dev.lock
	$(LOCK) --constraint config/requirements-dev.lock --output-file config/requirements.lock
	echo pip | $(COMPILE_LOCK) - --output-file config/requirements-pip.lock

clean:
	rm -rf .venv var
