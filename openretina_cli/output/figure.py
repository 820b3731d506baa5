"""The stimulus taken apart and the response to it, on one page."""

from __future__ import annotations

from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from openretina_cli.checks import one_of, require
from openretina_cli.output.base import REMARKS, Picture
from openretina_cli.store.names import FIGURE, FORMATS, SHEET
from openretina_cli.text import one_line

if TYPE_CHECKING:
    from openretina_cli.output.view import RunView


LONGEST_LIST = 60
"""Characters of a warning that lists characters."""


class Figure(Picture):
    """`composition.png`, `.pdf` or `.svg`; of a set of stimuli also `members.png`, a page with all of them.

    Args:
        formats: any of png, pdf, svg; none draws nothing.
        dpi: pixels per inch of a png, 20 to 1200; a film is 12.5 inches wide.

    Raises:
        SettingError: a format is not known, or dpi is out of range.
    """

    naming = ("formats",)
    limits = MappingProxyType({"dpi": 300})  # 1200 take a gigabyte

    def __init__(self, formats: list[str], dpi: int = 160) -> None:
        for name in formats:
            one_of("formats", name, FORMATS)
        require(20 <= dpi <= 1200, "dpi", dpi, "20 to 1200")
        self.names, self.names_of_set = (
            tuple(f"{stem}.{name}" for name in dict.fromkeys(formats)) for stem in (FIGURE, SHEET)
        )
        self.dpi = dpi

    def draw(self, name: str, view: RunView, kept: dict[str, Any]) -> bytes:
        """The bytes of the figure in the format of the name."""
        if name in self.names_of_set:
            from openretina_cli.output.composition.contact_sheet import encode_sheet

            return encode_sheet(view, PurePath(name).suffix[1:], self.dpi)
        from openretina_cli.output.composition.composer import Composer, import_matplotlib  # only where one is wanted
        from openretina_cli.output.composition.fonts import UNKNOWN, drawable

        import_matplotlib()
        view, missing = drawable(view)
        if missing:
            told = one_line(missing, LONGEST_LIST)
            kept.setdefault(REMARKS, {})[name] = f"{UNKNOWN} for characters that no font here can draw: {told}"
        composer = kept.get("composer") or Composer()
        kept["composer"] = composer  # it keeps the pages of the last layouts, which are most of the work
        return composer.encode(view, PurePath(name).suffix[1:], self.dpi)
