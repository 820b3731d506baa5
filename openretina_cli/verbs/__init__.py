"""The verbs: `openretina NAME` is the file NAME.py here, found by its name and registered nowhere.

A verb has a docstring, whose first line `openretina --help` shows, and defines

- `help_text(argv: Sequence[str]) -> str`: what `openretina NAME --help` prints; `argv` holds the words after the verb.
- `run(argv: Sequence[str]) -> None`: does the work; raises `OpenRetinaError` where something is wrong.
- `complete(before: Sequence[str], word: str) -> Iterable[str]`: candidates for `word`, given the words of the verb
  before it, for tab completion.
- `WRITES_FILES = True`, where the output is in files: printed text is then a courtesy, and losing it is no failure.

Help and completion import the file, so that what takes time to import (Hydra, torch) is imported inside `run`.
"""
