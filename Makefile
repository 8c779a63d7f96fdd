# `make demo` shows a restore and its proofs, `make test` runs every check, `make bench` measures.
# Needs make and Python >= 3.11; the first call installs everything else into .venv. A C compiler makes it fast.
# Another interpreter: make PYTHON=/path/to/python3.12 test

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CHECK_PYTHON := import sys; sys.exit(sys.version_info < (3, 11))

# The first that really runs: a name on the PATH may be a shim without an interpreter behind it.
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,\
	$(shell $(name) -c '$(CHECK_PYTHON)' >/dev/null 2>&1 && echo $(name))))

# The tests sync thousands of small files; in memory that costs nothing, and nothing of it need last.
TEST_FOLDER := $(shell test -w /dev/shm && echo /dev/shm || echo "$${TMPDIR:-/tmp}")

.PHONY: help demo test bench bench-compare

help:
	@sed -n '1,3s/^# //p' Makefile

demo: $(INSTALLED)
	@$(BIN)/aptos-restore demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	TMPDIR="$(TEST_FOLDER)" $(BIN)/python -m pytest -n auto

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(BENCH)

bench-compare: $(INSTALLED)
	$(BIN)/python -m benchmarks.compare "$(OLD)" "$(NEW)"

KERNEL := $(wildcard restore/kernel/c/*.c restore/kernel/c/*.h)

$(INSTALLED): pyproject.toml setup.py Makefile $(KERNEL)
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found" >&2; \
		echo "hint: install python3.11 or newer, or give one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c '$(CHECK_PYTHON)' || { echo "error: $(PYTHON) is not Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "error: $(PYTHON) cannot make environments" >&2; \
		echo "hint: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]'
	@$(BIN)/python -c 'import restore.kernel._native' 2>/dev/null || \
		{ echo "note: the C extension was not built, so everything works, but hashing takes several times as long"; \
		echo "hint: install a C compiler (Debian, Ubuntu: apt install gcc python3-dev), then: rm $@"; } >&2
	@touch $@
