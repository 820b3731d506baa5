"""Whatever a checkpoint holds, it ends soon, small, in one short line, and nothing in it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from real_parts import mutants

WORKER = Path(__file__).parent / "hostile_worker.py"
MUTANTS = mutants(560)
WORKERS = 2
KINDS = 14
MOST_SECONDS = 20
MOST_BYTES = 10**9
MOST_CHARACTERS = 500

Outcomes = list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcomes(ensemble_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """How all mutants ended, from workers that each load their share one after the other."""
    scratch = [tmp_path_factory.mktemp("hostile") / "worker" for _ in range(WORKERS)]
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(ensemble_directory), str(folder), str(first), str(WORKERS), str(MUTANTS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first, folder in enumerate(scratch)
    ]
    said = [worker.communicate(timeout=600)[0] for worker in workers]
    ends = [json.loads(line) for folder in scratch for line in (folder / "outcomes").read_text().splitlines()]
    assert [worker.returncode for worker in workers] == [0] * WORKERS, (said, ends[-1:])
    assert said == [""] * WORKERS
    return ends


def test_all_mutants_come_to_an_end(outcomes: Outcomes) -> None:
    assert {end["seed"] for end in outcomes} == set(range(MUTANTS))
    assert len(Counter(end["kind"] for end in outcomes)) == KINDS


def test_every_mutant_ends_with_success_or_a_mistake_and_no_traceback(outcomes: Outcomes) -> None:
    assert [end for end in outcomes if not end["codes"] or not {0, 1, 2}.issuperset(end["codes"])] == []


def test_every_error_is_one_short_line(outcomes: Outcomes) -> None:
    for end in outcomes:
        for code, error in zip(end["codes"], end["errors"], strict=True):
            lines = error.splitlines()
            assert len(lines) == (1 if code else 0), end
            assert len(error) <= MOST_CHARACTERS, end


def test_what_loads_is_rare_and_what_is_refused_is_refused_by_every_verb(outcomes: Outcomes) -> None:
    loaded = [end for end in outcomes if end["codes"][:1] == [0]]
    assert 0 < len(loaded) < len(outcomes) / 2
    assert [end for end in outcomes if end["codes"][0] == 2 and set(end["codes"]) != {2}] == []


def test_time_and_memory_are_bounded(outcomes: Outcomes) -> None:
    assert [end for end in outcomes if end["seconds"] > MOST_SECONDS] == []
    assert max(end["peak"] for end in outcomes) < MOST_BYTES


def test_nothing_in_a_checkpoint_runs_and_nothing_is_left_behind(outcomes: Outcomes) -> None:
    assert [end for end in outcomes if end["canary"] or end["left"]] == []
