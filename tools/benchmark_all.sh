#!/usr/bin/env bash
# tools/benchmark_all.sh [OUT]: every comparison with stock mmseg, mmdet and transformers, one after
# the other on an idle machine; tables and pictures go to OUT (default: benchmark).
set -euo pipefail
OUT=$(realpath -m "${1:-benchmark}")
cd "$(dirname "$0")/.."
PYTHON=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)
mkdir -p "$OUT"
run() {
    echo "== tools/$1.py ${*:2}"
    "$PYTHON" -W ignore "tools/$1.py" "${@:2}"
}
run profile_step --out "$OUT/profile"
run benchmark_step --out "$OUT/step.md"
run benchmark_inference --out "$OUT/inference"
run benchmark_scaling --stock --processes 1 2 --out "$OUT/scaling"
run benchmark --metrics complexity train inference --out "$OUT/models" \
    mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py \
    configs/maskformer_r50_ade20k.py configs/upernet_r50_ade20k.py
if [ -d data/coco ]; then
    run benchmark_data data/coco --split val2017
    run benchmark_pq data/coco/annotations/panoptic_val2017.json
fi
