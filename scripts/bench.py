"""Speed as ratios to plain scripts and other libraries: python scripts/bench.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.table import main
from nextchar.cli.parse import run_script

if __name__ == "__main__":
    run_script(main)
