"""Histograms of features drawn over one another, and how much two of them differ."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from penstock.dashboard import words

_WIDTH, _HEIGHT = 220.0, 56.0
_BARS = 44.0
_GRID = 40
# How many times the middle four fifths' width a drawing goes beyond them.
_TAIL = 2.0


@dataclass(frozen=True)
class FeatureRow:
    """One feature in one or two sets of examples; what a set does not have is None.

    Attributes:
        name: the feature.
        first: its statistics in the first set, laid out as the summary of statistics tells.
        second: its statistics in the second set.
        first_share: the share of the first set's examples that miss it.
        second_share: the same of the second set.
        distance: how much the sets differ in it, see `distance`; None where that cannot be told.
    """

    name: str
    first: Mapping[str, Any] | None
    second: Mapping[str, Any] | None
    first_share: float | None
    second_share: float | None
    distance: float | None

    @property
    def either(self) -> Mapping[str, Any]:
        """Its statistics in the set that has it."""
        return self.first or self.second or {}

    @property
    def drawing(self) -> Markup:
        """Both histograms over one another, as shares of their examples."""
        return draw(self.first, self.second)


def rows(first: Mapping[str, Any], second: Mapping[str, Any] | None) -> list[FeatureRow]:
    """The features of one set of examples, or of two, in the first one's order."""
    sides: list[dict[str, Mapping[str, Any]]] = [
        {feature["name"]: feature for feature in side["features"]} if side else {} for side in (first, second)
    ]
    found = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = sides[0].get(name), sides[1].get(name)
        found.append(
            FeatureRow(
                name,
                one,
                other,
                _missing(one, first),
                _missing(other, second),
                distance(one, other, _missing(one, first), _missing(other, second)) if one and other else None,
            )
        )
    return found


def distance(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    first_missing: float | None = 0.0,
    second_missing: float | None = 0.0,
) -> float | None:
    """The largest difference of the shares of any value (L-infinity, as TFDV measures skew of categories).

    Of numbers it is the largest difference of their distribution functions (Kolmogorov and Smirnov), read off
    histograms and quantiles. The share of missing values counts as a value. None where kinds differ or nothing is
    known.
    """
    missing = abs((first_missing or 0.0) - (second_missing or 0.0))
    if "top" in first and "top" in second:
        shares = [_shares(side) for side in (first, second)]
        names = {*shares[0], *shares[1]}
        return max([missing, *(abs(shares[0].get(name, 0.0) - shares[1].get(name, 0.0)) for name in names)])
    if first.get("histogram") and second.get("histogram"):
        one, other = _known(first), _known(second)
        return max([missing, *(abs(_below(one, x) - _below(other, x)) for x in {x for x, _ in (*one, *other)})])
    return None


def draw(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Markup:
    """Both distributions over one another on one axis; nothing where none is known."""
    sides = [side for side in (first, second) if side]
    if sides and all("top" in side for side in sides):
        return _draw_categories(first, second)
    known = [side["histogram"] for side in sides if side.get("histogram")]
    if not known:
        return Markup("")
    ranges = [_range(side) for side in sides if side.get("histogram")]
    low, high = min(start for start, _ in ranges), max(end for _, end in ranges)
    ends = min(histogram[0][0] for histogram in known), max(histogram[-1][1] for histogram in known)
    parts = []
    for side, css in ((first, "one"), (second, "other")):
        if not side or not side.get("histogram"):
            continue
        points = _known(side)
        edges = [low + (high - low) * index / _GRID for index in range(_GRID + 1)]
        shares = [_below(points, edge) for edge in edges]
        # Values at the very start belong to the first bar.
        parts.append((css, [b - (a if index else 0.0) for index, (a, b) in enumerate(pairwise(shares))]))
    top = max(max(heights) for _, heights in parts) or 1.0
    width = _WIDTH / _GRID
    drawn = [
        Markup('<g class="{}">{}</g>').format(
            css,
            Markup("").join(
                Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    index * width, _BARS * (1 - height / top), width - 0.6, _BARS * height / top
                )
                for index, height in enumerate(heights)
                if height > 0
            ),
        )
        for css, heights in parts
    ]
    axis = Markup('<text x="0" y="{0}">{1}</text><text x="{2}" y="{0}" text-anchor="end">{3}</text>').format(
        _HEIGHT - 1, _end(low, ends[0]), _WIDTH, _end(high, ends[1])
    )
    return _frame(Markup("").join(drawn) + axis, f"Histogram from {words.number(low)} to {words.number(high)}")


def _end(shown: float, real: float) -> str:
    """What the end of an axis is called; of a cut tail also where it really ends."""
    return words.short(shown) if shown == real else f"{words.short(shown)} … {words.short(real)}"


def _draw_categories(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Markup:
    shares = [_shares(side) if side else {} for side in (first, second)]
    names = list(dict.fromkeys([*shares[0], *shares[1]]))[:12]
    top = max((share for side in shares for share in side.values()), default=1.0) or 1.0
    width = _WIDTH / max(len(names), 4)
    drawn = []
    for side, css in zip(shares, ("one", "other"), strict=True):
        bars = Markup("").join(
            Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {}</title></rect>').format(
                index * width,
                _BARS * (1 - side[name] / top),
                width - 1,
                _BARS * side[name] / top,
                name,
                words.share(side[name]),
            )
            for index, name in enumerate(names)
            if side.get(name)
        )
        drawn.append(Markup('<g class="{}">{}</g>').format(css, bars))
    label = Markup('<text x="0" y="{}">{}</text>').format(_HEIGHT - 1, words.first_line(names[0], 30) if names else "")
    return _frame(Markup("").join(drawn) + label, "The most frequent values")


def _frame(content: Markup, label: str) -> Markup:
    return Markup(
        '<svg class="hist" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="img" '
        'aria-label="{2}">{3}</svg>'
    ).format(_WIDTH, _HEIGHT, label, content)


def _missing(feature: Mapping[str, Any] | None, side: Mapping[str, Any] | None) -> float | None:
    if feature is None or not side or not side.get("examples"):
        return None
    return float(feature["missing"]) / float(side["examples"])


def _shares(feature: Mapping[str, Any]) -> dict[str, float]:
    """The share of each frequent value among those that are not missing, as far as the summary tells."""
    counts = {str(value): float(count) for value, count in feature["top"]}
    total = float(feature.get("values") or sum(counts.values()) or 1.0)
    return {value: count / total for value, count in counts.items()}


def _known(feature: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Places at which a feature's distribution function is known, from its histogram and its quantiles, ascending."""
    histogram = feature["histogram"]
    total = sum(bucket[2] for bucket in histogram) or 1.0
    points = [(float(histogram[0][0]), 0.0)]
    below = 0.0
    for _, high, count in histogram:
        below += count
        points.append((float(high), below / total))
    quantiles = feature.get("quantiles") or []
    points += [
        (float(edge), index / (len(quantiles) - 1)) for index, edge in enumerate(quantiles) if len(quantiles) > 1
    ]
    return sorted(points)


def _below(known: Sequence[tuple[float, float]], value: float) -> float:
    """The share of values up to a value, spread evenly between the places where it is known."""
    last = bisect_right(known, (value, 2.0))
    if last == 0:
        return 0.0
    if last == len(known):
        return 1.0
    (x, share), (next_x, next_share) = known[last - 1], known[last]
    return share + (next_share - share) * (value - x) / (next_x - x)


def _range(feature: Mapping[str, Any]) -> tuple[float, float]:
    """The part of the axis that is worth drawing: long tails of few values are cut."""
    histogram = feature["histogram"]
    low, high = float(histogram[0][0]), float(histogram[-1][1])
    quantiles = feature.get("quantiles") or []
    if len(quantiles) > 2 and quantiles[-2] > quantiles[1]:
        reach = _TAIL * (quantiles[-2] - quantiles[1])
        low, high = max(low, quantiles[1] - reach), min(high, quantiles[-2] + reach)
    return low, high
