"""Finished runs, ranked: python scripts/compare.py [DIR ...]"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("compare")  # for Hydra's shell completion this file must contain the text @hydra.main
