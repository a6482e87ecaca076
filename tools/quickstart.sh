#!/usr/bin/env bash
# Sets everything up, trains MaskFormer and UperNet on generated images, shows table and pictures.
set -euo pipefail
source "$(dirname "$0")/setup_env.sh"
.venv/bin/python -W ignore tools/quickstart.py "$@"
