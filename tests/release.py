"""Prints the changes of a tag, or what keeps it from being released: `python tests/release.py v0.1.0`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSION = re.compile(r'^version(?: = "|: )([\d.]+)"?$', re.MULTILINE)


def version_in(name: str) -> str:
    """The version that a file of the project states."""
    found = VERSION.search((ROOT / name).read_text(encoding="utf-8"))
    return found[1] if found else ""


def section_of(version: str) -> tuple[str, str]:
    """The date and the text of a version's section in the changelog; empty where there is none."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)} - (.+)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    return (found[1], found[2].strip()) if found else ("", "")


def obstacles(tag: str) -> list[str]:
    """What is wrong with a tag; nothing where it can be released."""
    version = version_in("pyproject.toml")
    date, text = section_of(version)
    checks = {
        f"the tag {tag} is not v{version}, the version in pyproject.toml": tag == f"v{version}",
        f"CITATION.cff has version {version_in('CITATION.cff')}": version_in("CITATION.cff") == version,
        f"CHANGELOG.md says nothing of {version}": bool(text),
        f"CHANGELOG.md has no date for {version}": re.fullmatch(r"\d{4}-\d\d-\d\d", date) is not None,
    }
    return [problem for problem, holds in checks.items() if not holds]


if __name__ == "__main__":
    found = obstacles(sys.argv[1])
    sys.stdout.write("\n".join(found or [section_of(version_in("pyproject.toml"))[1]]) + "\n")
    sys.exit(bool(found))
