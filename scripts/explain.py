"""How a model reads a document: python scripts/explain.py run=DIR text=emma"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("explain")  # for Hydra's shell completion this file must contain the text @hydra.main
