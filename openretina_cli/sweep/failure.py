"""What a run that could not be made leaves in its folder, in the place of a result."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from openretina_cli.artifacts.folder import FAILURE
from openretina_cli.config.settings import Settings

Failures = dict[Path, str]
"""Why runs of a sweep failed, by folder."""


def write_failure(settings: Settings, reason: str, folder: Path) -> None:
    """Write why there is no result; the next attempt, if it succeeds, removes it.

    Raises:
        OSError: the file cannot be written.
    """
    record = {
        "status": "failed",
        "error": reason,
        "settings_key": settings.key,
        "session": settings.session,
        "neuron": settings.neuron,
        "seed": settings.seed,
        "settings": settings.values,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    aside = folder / f".{FAILURE}"
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    aside.write_bytes(text.encode("utf-8", "backslashreplace"))  # a lone surrogate becomes its escape in JSON
    aside.replace(folder / FAILURE)
