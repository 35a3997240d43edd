"""Fixtures of the tests of config: the settings of a command's words, and the line that refuses them."""

from collections.abc import Callable
from typing import Any

import pytest

from nextchar.cli.commands import settings_class
from nextchar.config.compose import command_of
from nextchar.errors import BadInput


@pytest.fixture(scope="session")
def settings_of() -> Callable[..., Any]:
    """The settings of key=value words: settings_of("model=nn", "seed=1", command="train")."""

    def read(*words: str, command: str = "train") -> Any:
        return command_of(command, settings_class(command), words).settings

    return read


@pytest.fixture(scope="session")
def refusal(settings_of) -> Callable[..., str]:
    """The line that refuses key=value words."""

    def refuse(*words: str, command: str = "train") -> str:
        with pytest.raises(BadInput) as error:
            settings_of(*words, command=command)
        return str(error.value)

    return refuse
