"""Documents sampled from a trained model: python scripts/sample.py run=DIR n=20"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("sample")  # for Hydra's shell completion this file must contain the text @hydra.main
