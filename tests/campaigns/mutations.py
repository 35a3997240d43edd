"""Random changes of bytes and of JSON."""

import json
import random
from typing import Any

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, 0.5, -1e300, "", "count", "\ud800", "../x", "${oc.env:HOME}",
    [], {}, [1, 2], "tcp://127.0.0.1:1", "\x1b[31m",
)  # fmt: skip


def of_bytes(content: bytes, dice: random.Random) -> bytes:
    """Flips, overwrites, cuts, inserts or copies bytes, one to three times."""
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(content))
        junk = dice.randbytes(dice.randint(1, 8))
        match dice.randrange(5):
            case 0 if at < len(content):
                content = content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]
            case 1:
                content = content[:at] + junk + content[at + len(junk) :]
            case 2:
                content = content[:at]
            case 3:
                content = content[:at] + junk + content[at:]
            case _:
                content = content[:at] + content[at // 2 : at] + content[at:]
    return content


def of_json(text: bytes, dice: random.Random) -> bytes:
    """Replaces, removes or adds a value somewhere."""
    value = json.loads(text)
    node: Any = value
    while isinstance(node, dict | list) and node:
        key = dice.choice(list(node)) if isinstance(node, dict) else dice.randrange(len(node))
        if not isinstance(node[key], dict | list) or not node[key] or dice.random() < 0.3:
            match dice.randrange(3):
                case 0:
                    node[key] = dice.choice(JUNK)
                case 1:
                    del node[key]
                case _ if isinstance(node, dict):
                    node[f"{key}_"] = dice.choice(JUNK)
                case _:
                    node.append(dice.choice(JUNK))
            break
        node = node[key]
    return json.dumps(value).encode()
