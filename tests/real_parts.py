"""What a test needs of the machine: a browser, Slurm, a small disk, time. Continuous integration has all of them."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = "OPENRETINA_TESTS_REQUIRE_ALL"
"""Environment variable. Where it is 1, as in `.ci/run`, a missing part fails the test that needs it."""

EVERY_MUTANT = "OPENRETINA_TESTS_EVERY_MUTANT"
"""Environment variable. Where it is 1, as in `make test-hostile`, all hostile files are tried and not a sample."""
SAMPLE = 70


def mutants(count: int) -> int:
    """How many of `count` seeded mutants are tried."""
    return count if os.environ.get(EVERY_MUTANT) == "1" else SAMPLE


def missing(part: str, repair: str) -> NoReturn:
    """End a test whose machine lacks a part: as a failure where all parts are required, otherwise as skipped."""
    reason = f"{part} is not on this machine ({repair})"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1")
    pytest.skip(reason)
