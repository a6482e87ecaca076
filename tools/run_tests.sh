#!/usr/bin/env bash
# Sets everything up and runs the checks and the tests. --quick leaves out the marker `slow`, --long
# adds the marker `long`, which takes half an hour; other arguments go to pytest.
set -euo pipefail
EXTRAS=lite,dev
source "$(dirname "$0")/setup_env.sh"
trap 'echo "[tests] $((SECONDS / 60)) min $((SECONDS % 60)) s in all"' EXIT

case "${1:-}" in
    --quick) set -- -m "not slow and not long" "${@:2}" ;;
    --long) shift ;;
    *) set -- -m "not long" "$@" ;;
esac
echo "[tests] ruff"
.venv/bin/ruff check . && .venv/bin/ruff format --check . || fail "ruff found something; see above"
.venv/bin/mypy || fail "mypy found something; see above"
echo "[tests] pytest, a worker of one thread for every core"
OMP_NUM_THREADS=1 .venv/bin/python -W ignore -m pytest -q -n auto --maxprocesses 8 \
    --dist worksteal "$@"
