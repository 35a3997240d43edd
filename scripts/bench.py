"""Speed as ratios to plain scripts and other libraries: python scripts/bench.py"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("bench")  # for Hydra's shell completion this file must contain the text @hydra.main
