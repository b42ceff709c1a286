"""Series of samples as one SVG picture with one panel each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, GAP = 480, 90, 34
_PANEL = (
    '<text x="4" y="{text}">{name}: {least:g} to {most:g}, at last {last:g}</text>\n'
    '<rect x="0" y="{top}" width="{width}" height="{height}" fill="none" stroke="#ccc"/>\n'
    '<polyline fill="none" stroke="#06c" points="{points}"/>\n'
)


def drawn(series: Mapping[str, Sequence[float]]) -> str:
    """The picture; each panel begins at zero."""
    panels = [_panel(number, name, values) for number, (name, values) in enumerate(series.items())]
    tall = len(series) * (HEIGHT + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{tall}"'
    return f'{head} font-family="sans-serif" font-size="12">\n{"".join(panels)}</svg>\n'


def _panel(number: int, name: str, values: Sequence[float]) -> str:
    top = number * (HEIGHT + GAP) + GAP - 10
    least, most = min(values), max(values)
    across, up = WIDTH / max(len(values) - 1, 1), HEIGHT / (most or 1)
    points = " ".join(
        f"{at * across:.1f},{top + HEIGHT - value * up:.1f}" for at, value in enumerate(values)
    )
    return _PANEL.format(
        text=top - 6,
        name=escape(name),
        least=least,
        most=most,
        last=values[-1],
        top=top,
        width=WIDTH,
        height=HEIGHT,
        points=points,
    )
