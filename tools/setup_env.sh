# Sourced by quickstart.sh and run_tests.sh: makes or reuses .venv in the repository's root.
# PYTHON chooses the interpreter (3.10 to 3.13), TORCH the build of torch to install; run_tests.sh
# adds developers' packages by EXTRAS.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-python3}
EXTRAS=${EXTRAS:-lite}

fail() {
    echo "error: $*" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null || fail "'$PYTHON' not found; set PYTHON to a Python 3.10 to 3.13"
"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
    fail "Python 3.10 to 3.13 is needed, '$PYTHON' is $("$PYTHON" -V 2>&1); set PYTHON to another"

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "[setup] making the virtual environment .venv with $("$PYTHON" -V)"
    rm -rf .venv
    "$PYTHON" -m venv .venv || fail "could not make .venv; on Debian, install python3-venv"
fi
STAMP=.venv/installed-$EXTRAS
WANTED=$(cat setup.py mmmaskformer/engine/dependencies.py mmmaskformer/version.py tools/setup_env.sh | cksum)
if [ "$(cat "$STAMP" 2>/dev/null)" != "$WANTED" ]; then
    if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
        echo "[setup] installing torch"
        .venv/bin/python -m pip install "${TORCH:-torch==2.13.0}" ||
            .venv/bin/python -m pip install 'torch>=2.3.1,<2.16' ||
            fail "torch could not be installed; see pip's message above"
    fi
    echo "[setup] installing mmmaskformer and what it needs"
    .venv/bin/python -m pip install -e ".[$EXTRAS]" ||
        fail "mmmaskformer could not be installed; see pip's message above"
    # mmengine imports yapf, whose first import writes a cache that processes which start together
    # would read half-written.
    .venv/bin/python -c 'import yapf' || fail "yapf, which mmengine needs, can not be imported"
    echo "$WANTED" >"$STAMP"
else
    echo "[setup] .venv is up to date"
fi
