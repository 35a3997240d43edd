"""A model or a sweep of models: python scripts/train.py model=nn optim.lr=15"""

from nextchar.cli.main import main

if __name__ == "__main__":
    main("train")  # for Hydra's shell completion this file must contain the text @hydra.main
