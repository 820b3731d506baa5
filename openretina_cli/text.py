"""Makes text that files, servers and command lines bring safe to show: in a terminal, a table, a figure, a folder name.

Such text may hold escape codes that recolour or retitle a terminal, newlines that forge lines of output, bidirectional
controls that reorder what is read, lone surrogates that no encoding takes, formulas that a spreadsheet evaluates, and
megabytes. Every function here is idempotent and leaves ordinary names as they are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

LONGEST_ERROR = 500
"""Characters of an error line."""
LONGEST_TEXT = 2_000
"""Characters of any other text that is shown in one line."""
LONGEST_CELL = 30_000
"""Characters of a CSV cell, of the 32,767 that spreadsheets take."""
LONGEST_FOLDER = 100
"""Bytes of a folder name, of the 255 that file systems take."""

GAP = " ... "
"""Stands for what is left out of the middle of a text."""
REPLACEMENT = "\ufffd"
"""Stands for a character that must not be shown."""

BREAK = re.compile("[\t\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029]")
"""Characters beside the newline that move the cursor or end a line (Unicode 15, section 5.8); a blank replaces each."""
UNSAFE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # C0 and C1 controls and DEL: ESC, CSI and OSC begin escape codes
    "\xad\u180e\u200b\u2060-\u2064\ufeff"  # invisible
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # bidirectional controls (Unicode Standard Annex 9)
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, invisible, too
    "\ud800-\udfff]"  # lone surrogates: bytes of a file name that are no UTF-8, or broken JSON
)
"""Characters that must reach no terminal, and break tables and files."""
# Patterns that help does not need are texts: `re` compiles each when it is first used.
SURROGATE = "[\ud800-\udfff]"
FORMULA = r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]"
"""Beginning of a cell that a spreadsheet evaluates (OWASP, CSV Injection), with the full-width forms."""
NUMBER = r"(?a:[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)"
REFUSED = r'[<>:"/\\|?*' + REPLACEMENT + r"\s]+"
"""Characters that Windows and FAT refuse in names (Microsoft, Naming Files), and what is awkward in a shell."""
DEVICE = r"(?i:^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$))"
"""Names that Windows keeps for devices, with any ending."""


def is_text(text: str) -> bool:
    """Whether a text can be encoded; lone surrogates cannot."""
    return re.search(SURROGATE, text) is None


def printable(text: str) -> str:
    """Replaces every character that could control a terminal; newlines stay."""
    return UNSAFE.sub(REPLACEMENT, BREAK.sub(" ", text))


def one_line(text: str, longest: int = LONGEST_TEXT) -> str:
    """Makes a text one line of bounded length that holds no control character.

    Args:
        text: any text.
        longest: characters that are kept; of a longer text, the middle is left out.
    """
    if len(text) > 2 * longest:  # bounds the work on texts of megabytes
        text = text[:longest] + text[-longest:]
    return shortened(printable(text).replace("\n", " "), longest)


def shortened(text: str, longest: int) -> str:
    """Leaves out the middle of a text that is longer than `longest` characters, as its ends tell most."""
    if len(text) <= longest:
        return text
    kept = longest - len(GAP)
    return text[: kept - kept // 2] + GAP + text[len(text) - kept // 2 :]


def fitted(parts: Sequence[str], longest: int) -> list[str]:
    """Shortens the longest of several texts until all of them together have at most `longest` characters."""
    fit, room = list(parts), longest
    order = sorted(range(len(parts)), key=lambda place: len(parts[place]))
    for rank, place in enumerate(order):
        fit[place] = shortened(parts[place], room // (len(parts) - rank))
        room -= len(fit[place])
    return fit


def csv_cell(value: object) -> object:
    """Makes a text a cell that a spreadsheet shows and does not evaluate; numbers, also as text, stay numbers.

    A quote mark before the text marks it as text, as spreadsheets have it.
    """
    if not isinstance(value, str):
        return value
    text = one_line(value, LONGEST_CELL)
    return f"'{text}" if re.match(FORMULA, text) and not re.fullmatch(NUMBER, text) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Writes rows, the header among them, as CSV with safe cells."""
    import csv  # for which help need not wait

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([csv_cell(value) for value in row] for row in rows)
    return text.getvalue()


def folder_name(text: str) -> str:
    """Makes a text a folder name that Linux, macOS, Windows and FAT take.

    Texts that differ may get one name, so a caller that needs different names adds a digest of the text.
    """
    name = re.sub(DEVICE, r"\1-", re.sub(REFUSED, "-", one_line(text)).strip("."))
    return name.encode()[:LONGEST_FOLDER].decode(errors="ignore").rstrip(".") or "run"
