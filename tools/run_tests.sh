#!/usr/bin/env bash
# Sets everything up and runs the checks and all tests, or with --quick those without the marker
# `slow`; other arguments go to pytest.
set -euo pipefail
EXTRAS=lite,dev
source "$(dirname "$0")/setup_env.sh"
trap 'echo "[tests] $((SECONDS / 60)) min $((SECONDS % 60)) s in all"' EXIT

if [ "${1:-}" = --quick ]; then
    set -- -m "not slow" "${@:2}"
fi
echo "[tests] ruff"
.venv/bin/ruff check . && .venv/bin/ruff format --check . || fail "ruff found something; see above"
.venv/bin/mypy || fail "mypy found something; see above"
echo "[tests] pytest, a worker of one thread for every core"
OMP_NUM_THREADS=1 .venv/bin/python -W ignore -m pytest -q -n auto --maxprocesses 8 \
    --dist worksteal "$@"
