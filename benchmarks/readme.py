"""README's generated parts: each stands between the comment lines <!-- NAME --> and <!-- end -->."""

from __future__ import annotations

import re
from pathlib import Path

from initbench.atomic import write_atomically

README = Path(__file__).parent.parent / "README.md"


def replace(name: str, content: str) -> None:
    """Put `content` between the markers of part `name`; raises ValueError where README has no such markers."""
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    changed, count = pattern.subn(lambda found: f"{found[1]}{content}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"README.md has {count} places for the part {name!r}, not one")
    write_atomically(README, changed)
