#!/usr/bin/env bash
# benchmarks/all.sh [OUT]: every comparison with stock mmseg, mmdet and transformers, one after
# the other on an idle machine, and one table of them all; tables and pictures go to OUT (default:
# benchmark). Data loading is measured where data/coco (panoptic) and data/ade are.
set -euo pipefail
OUT=$(realpath -m "${1:-benchmark}")
cd "$(dirname "$0")/.."
PYTHON=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)
mkdir -p "$OUT"
run() {
    echo "== python -m $*"
    "$PYTHON" -W ignore -m "$@"
}
run benchmarks.profile_step --out "$OUT/profile"
run benchmarks.inference --large 1000 1500 --out "$OUT/inference"
run benchmarks.losses --repeats 3 --out "$OUT/losses"
run benchmarks.benchmark --metrics complexity train inference --out "$OUT/models" \
    mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py \
    configs/maskformer_r50_ade20k.py configs/upernet_r50_ade20k.py
run benchmarks.benchmark --metrics complexity train inference --size 640 864 --out "$OUT/detectors" \
    mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py \
    configs/maskformer_r50_coco-panoptic-mmdet.py
if [ -d data/coco ]; then
    run benchmarks.data data/coco --split val2017 --out "$OUT/data"
    run benchmarks.pq data/coco/annotations/panoptic_val2017.json \
        --gt_folder data/coco/panoptic_val2017
fi
if [ -d data/ade/ADEChallengeData2016 ]; then
    run benchmarks.data data/ade/ADEChallengeData2016 --task semantic --out "$OUT/data"
fi
run benchmarks.scaling --stock --repeats 1 --processes 1 2 --out "$OUT/scaling"
run benchmarks.summary "$OUT"
