"""Cost and accuracy of configs side by side: python tools/benchmark.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.benchmark import main  # noqa: E402
from mmmaskformer.utils.command import run  # noqa: E402

if __name__ == "__main__":
    run(main)
