"""A counted model for other programs: python scripts/export.py run=DIR format=arpa out=model.arpa.gz"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("export")  # for Hydra's shell completion this file must contain the text @hydra.main
