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
    echo "== tools/$1.py ${*:2}"
    "$PYTHON" -W ignore "tools/$1.py" "${@:2}"
}
run profile_step --out "$OUT/profile"
run benchmark_inference --large 1000 1500 --out "$OUT/inference"
run benchmark --metrics complexity train inference --out "$OUT/models" \
    mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py \
    configs/maskformer_r50_ade20k.py configs/upernet_r50_ade20k.py
run benchmark --metrics complexity train inference --size 640 864 --out "$OUT/detectors" \
    mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py \
    configs/maskformer_r50_coco-panoptic-mmdet.py
if [ -d data/coco ]; then
    run benchmark_data data/coco --split val2017 --out "$OUT/data"
    run benchmark_pq data/coco/annotations/panoptic_val2017.json \
        --gt_folder data/coco/panoptic_val2017
fi
if [ -d data/ade/ADEChallengeData2016 ]; then
    run benchmark_data data/ade/ADEChallengeData2016 --task semantic --out "$OUT/data"
fi
run benchmark_scaling --stock --repeats 1 --processes 1 2 --out "$OUT/scaling"
run benchmark_summary "$OUT"
