"""nextchar: character-level language models, trained, sampled and compared.

    import nextchar as nc
    run = nc.train("model=nn", "optim.lr=15")

The functions are in api.py, which is imported when one of them is first used: `import nextchar` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nextchar.api import Run, compare, ngram, open_run, sweep, train

__all__ = ["Run", "compare", "ngram", "open_run", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nextchar' has no attribute {name!r}")
    from nextchar import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
