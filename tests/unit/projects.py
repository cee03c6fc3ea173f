"""Users' projects, as files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path


def lay(root: Path, files: Mapping[str, str] | Iterable[str]) -> Path:
    """Write the files of a project, with their texts or empty; gives its directory."""
    texts = files if isinstance(files, Mapping) else dict.fromkeys(files, "")
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root
