"""The loss of a finished run: python scripts/evaluate.py run=DIR [data=lines data.path=FILE]"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("evaluate")  # for Hydra's shell completion this file must contain the text @hydra.main
