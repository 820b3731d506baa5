"""Pictures are legible for readers who see few colours, and names of any script are drawn or said to be replaced."""

from __future__ import annotations

from pathlib import Path

import matplotlib.ft2font
import numpy as np
import pytest
from matplotlib.figure import Figure as Paper
from tiny_runs import optimize, result

from openretina_cli.output.colors import KNOWN, channel_looks
from openretina_cli.output.composition import composer, fonts
from openretina_cli.output.composition.stimulus_panels import plot_stimulus_composition
from openretina_cli.output.drawing.draw import draw_pictures
from openretina_cli.output.drawing.keep import store_pictures
from openretina_cli.output.figure import Figure
from openretina_cli.output.view import RunView
from openretina_cli.store.folder import RunFolder

CHINESE = "\u89c6\u7f51\u819c"
HEBREW = "\u05e2\u05d9\u05df"
STIX_ONLY = "\u2322"
"""A character that STIX has in each weight, which comes with matplotlib, and DejaVu does not."""


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2, "relative luminance") of `#rrggbb`, from 0 for black to 1 for white."""
    levels = np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def lightness(color: str) -> float:
    """L* of CIELAB, from 0 to 100."""
    return 116 * np.cbrt(luminance(color)) - 16


def view(title: str = "increase neuron 1", channels: tuple[str, ...] = ("green", "uv")) -> RunView:
    stimulus = np.random.default_rng(3).standard_normal((len(channels), 8, 6, 5)).astype(np.float32)
    return RunView(stimulus, channels, np.ones((4, 1), np.float32), ("neuron 1",), 4, (0, 4), 30.0, 50.0, title)


def test_green_and_violet_differ_without_their_hues() -> None:
    green, violet = channel_looks(("green", "uv"))
    # two of the five to seven steps of L* into which maps for colour-blind readers divide 100
    assert abs(lightness(green.line) - lightness(violet.line)) >= 15
    assert green.dash != violet.dash


@pytest.mark.parametrize("name", KNOWN)
def test_a_channels_name_in_its_colour_can_be_read_on_white(name: str) -> None:
    assert 1.05 / (luminance(KNOWN[name][0]) + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize("count", [2, 3, 4])
def test_time_courses_and_spectra_of_channels_differ_by_line_style(count: int) -> None:
    axes = Paper().subplots(1, 3)
    plot_stimulus_composition(view(channels=tuple("abcd"[:count])).stimulus, *axes)
    for ax in axes[:2]:
        styles = [line.get_linestyle() for line in ax.lines if str(line.get_label())[0] != "_"]
        assert styles == ["-", *["--"] * (count - 1)]  # "--" is what matplotlib calls any broken line
    assert len({look.dash for look in channel_looks(tuple("abcd"[:count]))}) == count


def test_characters_that_no_font_has_are_replaced_with_a_warning_in_the_result(tmp_path: Path) -> None:
    assert optimize(tmp_path / "run", "output=full", "output.figure.dpi=30") == 0
    figure = {"composition.png": Figure(["png"], 30)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fonts, "families", lambda: [fonts.OWN])
        fonts.is_drawn.cache_clear()
        drawn = draw_pictures(view(f"session {CHINESE}"), figure)
        plain = draw_pictures(view("session ???"), figure)
    fonts.is_drawn.cache_clear()
    assert drawn.files == plain.files
    assert plain.remarks == {}
    for _ in range(2):  # the second takes the place of the first
        assert store_pictures(drawn, figure, RunFolder(tmp_path / "run")) == []
        warning = f"composition.png shows ? for characters that no font here can draw: {CHINESE}"
        assert result(tmp_path / "run")["warnings"] == [warning]
    store_pictures(plain, figure, RunFolder(tmp_path / "run"))
    assert result(tmp_path / "run")["warnings"] == []


def test_a_character_is_drawn_from_the_first_font_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fonts, composer):
        monkeypatch.setattr(module, "families", lambda: [fonts.OWN, "STIXGeneral"])
    fonts.is_drawn.cache_clear()
    drawn = draw_pictures(view(STIX_ONLY), {"composition.png": Figure(["png"], 30)})
    assert (drawn.problems, drawn.remarks) == ({}, {})  # a glyph that is not there would be a problem
    monkeypatch.setattr(fonts, "families", lambda: [fonts.OWN])
    fonts.is_drawn.cache_clear()
    assert fonts.lost([STIX_ONLY, "Höfling Ωµ"]) == STIX_ONLY
    fonts.is_drawn.cache_clear()


def test_letters_from_right_to_left_are_drawn_in_their_order_or_replaced() -> None:
    shapes_text = hasattr(matplotlib.ft2font, "__libraqm_version__")
    assert fonts.lost([HEBREW]) == ("" if shapes_text else HEBREW)
    if shapes_text:
        figure = {"composition.png": Figure(["png"], 30)}
        forth, back = (draw_pictures(view(title), figure).files for title in (HEBREW, HEBREW[::-1]))
        assert forth != back
