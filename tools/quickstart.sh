#!/usr/bin/env bash
# Sets everything up, trains MaskFormer and UperNet on generated images, shows table and pictures.
# --photo my.jpg ends with a photograph of your own, predicted by the trained model.
set -euo pipefail
args=()
for arg; do # the photograph is where the user is, and not where setup_env.sh goes
    [[ ${last:-} != --photo || $arg == /* ]] || arg=$PWD/$arg
    args+=("$arg")
    last=$arg
done
EXTRAS=${EXTRAS:-lite,pretrained}
source "$(dirname "$0")/setup_env.sh"
.venv/bin/python -W ignore tools/quickstart.py ${args[@]+"${args[@]}"}
