#!/usr/bin/env bash
# Trains the CamVid models side by side, alike: 600 iterations of 4 crops of 120x160 from images of
# 180x240, from random weights. tools/train_camvid_table.sh [CONFIG ...]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    set -- maskformer_r18 maskformer_r50 perpixel_r50 perpixelplus_r50 ocrnet_hr18 upernet_r50
    set -- "${@/%/_camvid}"
fi
PYTHON=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)
SCALE="(240,180)"
for name in "$@"; do
    "$PYTHON" -W ignore tools/train.py "configs/$name.py" --work-dir "work_dirs/camvid_table/$name" \
        --cfg-options train_dataloader.dataset.pipeline.2.scale="$SCALE" \
        train_dataloader.dataset.pipeline.3.crop_size="(120,160)" \
        train_dataloader.dataset.pipeline.6.size="(160,120)" \
        val_dataloader.dataset.pipeline.1.scale="$SCALE" \
        test_dataloader.dataset.pipeline.1.scale="$SCALE" \
        train_cfg.max_iters=600 train_cfg.val_interval=600 param_scheduler.0.end=601
done
