"""What a test needs of the machine: a browser, Slurm, a small disk. Continuous integration must have all of them."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = "OPENRETINA_TESTS_REQUIRE_ALL"
"""Environment variable. Where it is 1, as in `.ci/run`, a missing part fails the test that needs it."""


def missing(part: str, repair: str) -> NoReturn:
    """End a test whose machine lacks a part: as a failure where all parts are required, otherwise as skipped."""
    reason = f"{part} is not on this machine ({repair})"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1")
    pytest.skip(reason)
