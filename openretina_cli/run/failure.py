"""What a run that could not be made leaves in its folder, in the place of a result."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from openretina_cli.config.settings import Settings
from openretina_cli.store.aside import write_whole
from openretina_cli.store.json_file import json_bytes
from openretina_cli.store.names import FAILURE

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
        "neuron": settings.neuron if "neuron" in settings.values["objective"] else None,
        "seed": settings.seed,
        "settings": settings.values,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    write_whole(folder, {FAILURE: json_bytes(record)})
