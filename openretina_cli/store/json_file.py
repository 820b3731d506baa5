"""JSON as this project writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """JSON that any reader takes: a number that is not finite becomes null, and a lone surrogate is escaped."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
