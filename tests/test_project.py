"""What the project says of itself in several files is the same in all of them."""

from __future__ import annotations

import re

import pytest
import release
import yaml
from release import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github").rglob("*.yml"))


def test_the_version_has_a_section_in_the_changelog_and_is_that_of_the_citation() -> None:
    version = release.version_in("pyproject.toml")
    assert release.section_of(version)[1]
    assert release.version_in("CITATION.cff") == version


def test_a_tag_of_another_version_or_without_a_date_is_not_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "section_of", lambda version: ("2026-12-01", "Added"))
    version = release.version_in("pyproject.toml")
    assert release.obstacles(f"v{version}") == []
    assert "is not v" in release.obstacles("v99.0.0")[0]
    monkeypatch.setattr(release, "section_of", lambda version: ("unreleased", "Added"))
    assert release.obstacles(f"v{version}") == [f"CHANGELOG.md has no date for {version}"]


def test_the_lowest_versions_that_are_declared_are_those_that_were_tested() -> None:
    block = PROJECT[PROJECT.index("\ndependencies = [") :].partition("]")[0]
    declared = dict(re.findall(r'"([\w-]+)>=([\d.]+)', block))
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests" / "lowest.txt").read_text(), re.MULTILINE))
    assert declared.keys() <= tested.keys()
    for name, version in declared.items():
        assert re.fullmatch(rf"{re.escape(version)}(\.0)*", tested[name]), name


def test_the_citation_has_what_a_citation_needs() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version"} <= citation.keys()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_yaml_and_calls_what_is_there(path: object) -> None:
    text = (ROOT / str(path)).read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {*re.findall(r"\bmake ([a-z-]+)", text)} <= {*targets}
    assert all((ROOT / name).is_file() for name in re.findall(r"(?:run: |python )(\.ci/run|tests/\w+\.py)", text))
