"""optim.lr=15 is parsed once, composed once and checked once, and few functions pass it on to the optimizer."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nextchar.config import compose

MOST_FUNCTIONS = 8  # of ours between the door and the optimizer's constructor


def test_from_the_word_to_the_optimizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    import torch

    calls: Counter[str] = Counter()
    road: list[list[str]] = []

    def counting(name: str, function: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return function(*args, **kwargs)

        return counted

    class Sgd(torch.optim.SGD):
        def __init__(self, parameters: Any, lr: float, **others: Any) -> None:
            assert lr == 17.25
            frame, functions = sys._getframe().f_back, []
            while frame is not None:
                if frame.f_globals.get("__name__", "").startswith("nextchar."):
                    functions.append(frame.f_code.co_qualname)
                frame = frame.f_back
            road.append(functions)
            super().__init__(parameters, lr=lr, **others)

    loader = type(compose.config_loader())
    monkeypatch.setattr(loader, "load_configuration", counting("composed", loader.load_configuration))
    monkeypatch.setattr(compose, "parse_overrides", counting("parsed", compose.parse_overrides))
    monkeypatch.setattr(compose, "validated", counting("checked", compose.validated))
    monkeypatch.setattr(torch.optim, "SGD", Sgd)
    words = ["model=nn", "optim.lr=17.25", "trainer.max_steps=1", "figures=false", "data=lines", runs.names(tmp_path)]
    runs.train(*words, f"hydra.run.dir={tmp_path / 'run'}")
    assert calls == {"parsed": 1, "composed": 1, "checked": 1}
    assert len(road) == 1
    assert len(road[0]) <= MOST_FUNCTIONS, road[0]
