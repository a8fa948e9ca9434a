"""From a matplotlib figure to SVG inside the page: readable text, no ids twice, and the page's own colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# What stands for the page's colours while matplotlib draws; style.css has the colours.
INK, MUTED, LINE = "#010101", "#020202", "#030303"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))  # series differ in more than their colour
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line"} | {colour: f"--series-{n}" for n, colour in enumerate(SERIES, 1)}
_COLOUR = re.compile("|".join(_VARIABLES))
_FONT = re.compile(r"font: (?:[a-z]+ )*([\d.]+px)[^;]*")

SIZE = (4.3, 3.0)  # inches of 72 points: small, so that text stays readable on a phone
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be called $x$
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
ElementTree.register_namespace("", _SVG)


def look(at: int) -> dict[str, Any]:
    """Returns colour and dash of a series by its number, for matplotlib; the first 36 all differ."""
    return {"color": SERIES[at % 6], "linestyle": DASHES[(at + at // 6) % 6]}


@dataclass(frozen=True)
class Chart:
    """A picture and its numbers.

    Attributes:
      title: of both.
      svg: for the page.
      columns: heads of the table.
      rows: its cells; the first of each names the row.
    """

    title: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def draw(key: str, description: str, plot: Callable[[Axes], None], size: tuple[float, float] = SIZE) -> Markup:
    """Returns a chart.

    Args:
      key: Unlike that of any other chart of the page: letters, digits, `-`.
      description: What a screen reader says.
      plot: Draws on the axes.
      size: Width and height, inches.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": key}):
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.subplots())
        file = io.BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(file.getvalue())
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            element.attrib["href" if name == _XLINK else name] = _for_page(name, value, key)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": description, "class": "chart"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # ElementTree has escaped all text in it


def _for_page(name: str, value: str, key: str) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name == _XLINK:
        return value.replace("#", f"#{key}-")
    value = value.replace("url(#", f"url(#{key}-")
    return _FONT.sub(r"font-size: \1", _COLOUR.sub(lambda found: f"var({_VARIABLES[found[0]]})", value))
