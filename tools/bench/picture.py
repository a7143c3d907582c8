# SPDX-License-Identifier: Apache-2.0
"""Horizontal bars as SVG: one bar per contestant, of one part or several after each other."""
import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH = 900
MARGIN = 20
LABEL_WIDTH = 190
VALUE_WIDTH = 90
TITLE_HEIGHT = 56
LEGEND_HEIGHT = 26
ROW_HEIGHT = 34
BAR_HEIGHT = 20
AXIS_HEIGHT = 40
COLOURS = ["#2f6f9f", "#e0a030", "#5a9e6f", "#b3554d", "#7d6ba8", "#777777"]


@dataclasses.dataclass
class Bar:
    label: str
    parts: list           # (name, value)
    spread: tuple = None  # (low, high), drawn as a whisker

    @property
    def total(self):
        return sum(value for _, value in self.parts)


def _text(x, y, text, size=13, anchor="start", colour="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}">{escape(str(text))}</text>')


def _line(x1, y1, x2, y2, colour, width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"/>')


def _rect(x, y, width, height, colour, title):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{colour}"><title>{escape(title)}</title></rect>')


def _step(largest):
    """A round distance between about five ticks."""
    rough = largest / 5
    power = 10 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _axis(scale, left, top, bottom, largest, unit):
    step = _step(largest)
    for index in range(int(largest / step) + 1):
        x = left + index * step * scale
        yield _line(x, top, x, bottom, "#ddd")
        yield _text(x, bottom + 16, f"{index * step:g}", 11, "middle", "#555")
    yield _text(left, bottom + 32, unit, 11, colour="#555")


def _whisker(scale, left, middle, spread):
    low, high = (left + value * scale for value in spread)
    yield _line(low, middle, high, middle, "#111", 1.5)
    for end in (low, high):
        yield _line(end, middle - 5, end, middle + 5, "#111", 1.5)


def _row(bar, colours, scale, left, top, unit, decimals):
    middle = top + ROW_HEIGHT / 2
    yield _text(left - 8, middle + 4, bar.label, anchor="end")
    x = left
    for name, value in bar.parts:
        width = max(value * scale, 1)
        yield _rect(x, middle - BAR_HEIGHT / 2, width, BAR_HEIGHT, colours[name],
                    f"{name}: {value:.{decimals}f} {unit}")
        x += width
    if bar.spread:
        yield from _whisker(scale, left, middle, bar.spread)
        x = max(x, left + bar.spread[1] * scale)
    yield _text(x + 8, middle + 4, f"{bar.total:.{decimals}f}")


def _legend(colours, left, top):
    x = left
    for name, colour in colours.items():
        yield _rect(x, top, 12, 12, colour, name)
        yield _text(x + 17, top + 11, name, 12)
        x += 40 + 7 * len(name)


def bar_chart(title, caption, unit, decimals, bars):
    """A whole SVG document. `bars` may be empty: then it says so."""
    names = list(dict.fromkeys(name for bar in bars for name, _ in bar.parts))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    left = MARGIN + LABEL_WIDTH
    top = TITLE_HEIGHT + (LEGEND_HEIGHT if len(names) > 1 else 0)
    bottom = top + ROW_HEIGHT * max(len(bars), 1)
    height = bottom + AXIS_HEIGHT
    largest = max((max(bar.total, *(bar.spread or (0,))) for bar in bars), default=0) or 1
    scale = (WIDTH - left - VALUE_WIDTH) / largest
    body = [_text(MARGIN, 24, title, 16), _text(MARGIN, 42, caption, 10, colour="#555")]
    if len(names) > 1:
        body += _legend(colours, left, TITLE_HEIGHT)
    body += _axis(scale, left, top, bottom, largest, unit)
    for index, bar in enumerate(bars):
        body += _row(bar, colours, scale, left, top + index * ROW_HEIGHT, unit, decimals)
    if not bars:
        body.append(_text(left, top + ROW_HEIGHT / 2, "nothing was measured"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">\n'
            f'<rect width="100%" height="100%" fill="#fff"/>\n'
            + "\n".join(body) + "\n</svg>\n")
