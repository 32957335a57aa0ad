"""Places the nodes of a graph in layers from left to right, and its edges as paths around them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import fast_sugiyama

Name = TypeVar("Name", bound=Hashable)

# The library's distance of two layers, or of two nodes in one; ours come from scaling it.
_UNIT = 100.0


@dataclass(frozen=True)
class Edge(Generic[Name]):
    """An edge and the SVG path that draws it."""

    source: Name
    target: Name
    path: str


@dataclass(frozen=True)
class Layout(Generic[Name]):
    """Where the boxes of a graph are, in pixels: the left upper corner of each by name, and the size of the whole."""

    width: float
    height: float
    box_width: float
    box_height: float
    places: dict[Name, tuple[float, float]]
    edges: Sequence[Edge[Name]]


def layered(
    names: Sequence[Name],
    edges: Sequence[tuple[Name, Name]],
    *,
    box: tuple[float, float] = (150, 44),
    gaps: tuple[float, float] = (44, 18),
) -> Layout[Name]:
    """Lays a directed graph without cycles out.

    Args:
        names: the nodes.
        edges: pairs of nodes, from the left one to the right one.
        box: width and height of a node.
        gaps: least distance between layers, and between nodes of a layer.
    """
    number = {name: index for index, name in enumerate(names)}
    pairs = sorted({(number[a], number[b]) for a, b in edges if a in number and b in number and a != b})
    step_x, step_y = box[0] + gaps[0], box[1] + gaps[1]
    centres: dict[int, tuple[float, float]] = {}
    links: list[tuple[int, int]] = []
    bottom = 0.0
    placed_by_library = _place(pairs, len(names))
    for positions_of_part, segments_of_part in placed_by_library:
        # The library's layers go from top to bottom, the first at the largest y.
        across = [x for x, _ in positions_of_part.values()]
        down = [y for _, y in positions_of_part.values()]
        for node, (x, y) in positions_of_part.items():
            centres[node] = (
                (max(down) - y) / _UNIT * step_x + box[0] / 2,
                bottom + (x - min(across)) / _UNIT * step_y + box[1] / 2,
            )
        bottom += (max(across) - min(across)) / _UNIT * step_y + step_y
        links += segments_of_part
    alone = [index for index in range(len(names)) if index not in centres]
    for place, index in enumerate(alone):
        centres[index] = (box[0] / 2 + place % 5 * step_x, bottom + place // 5 * step_y + box[1] / 2)
    margin = 4.0
    right = max((x for x, _ in centres.values()), default=0.0) + box[0] / 2
    low = max((y for _, y in centres.values()), default=0.0) + box[1] / 2
    return Layout(
        width=right + 2 * margin,
        height=low + 2 * margin,
        box_width=box[0],
        box_height=box[1],
        places={
            name: (centres[i][0] - box[0] / 2 + margin, centres[i][1] - box[1] / 2 + margin)
            for name, i in number.items()
        },
        edges=[
            Edge(names[chain[0]], names[chain[-1]], _path([centres[node] for node in chain], box[0], margin))
            for chain in _chains(pairs, links, len(names))
        ],
    )


def _place(
    pairs: Sequence[tuple[int, int]], count: int
) -> list[tuple[dict[int, tuple[float, float]], list[tuple[int, int]]]]:
    """The library's places and segments for each connected part; bends get numbers of their own from `count` on."""
    if not pairs:
        return []
    connected = sorted({node for pair in pairs for node in pair})
    dense = {node: index for index, node in enumerate(connected)}
    found = fast_sugiyama.from_edges(
        [(dense[a], dense[b]) for a, b in pairs], vertex_spacing=_UNIT, dummy_vertices=True, dummy_size=0.4
    )
    parts = []
    bends = count
    for positions, _, _, segments in found:
        # The library numbers bends anew for each part.
        numbers: dict[int | str, int] = {}
        for node, _ in positions:
            if isinstance(node, int) and node < len(connected):
                numbers[node] = connected[node]
            else:
                numbers[node] = bends
                bends += 1
        places = {numbers[node]: place for node, place in positions}
        parts.append((places, [(numbers[a], numbers[b]) for a, b in segments or [] if a in numbers and b in numbers]))
    return parts


def _chains(pairs: Sequence[tuple[int, int]], links: Sequence[tuple[int, int]], nodes: int) -> list[list[int]]:
    """Joins segments over bends to whole edges; an edge the library does not bend is one segment."""
    after = {a: b for a, b in links if a >= nodes}
    chains = []
    for a, b in links:
        if a >= nodes:
            continue
        chain = [a, b]
        while chain[-1] >= nodes and chain[-1] in after:
            chain.append(after[chain[-1]])
        chains.append(chain)
    drawn = {(chain[0], chain[-1]) for chain in chains}
    return [chain for chain in chains if chain[-1] < nodes] + [[a, b] for a, b in pairs if (a, b) not in drawn]


def _path(points: list[tuple[float, float]], box_width: float, margin: float) -> str:
    """A smooth path from the right side of the first box to the left side of the last one."""
    (x, y), (end_x, end_y) = points[0], points[-1]
    route = [(x + box_width / 2, y), *points[1:-1], (end_x - box_width / 2 - 5, end_y)]
    route = [(a + margin, b + margin) for a, b in route]
    parts = [f"M{route[0][0]:.1f},{route[0][1]:.1f}"]
    for (ax, ay), (bx, by) in pairwise(route):
        middle = (ax + bx) / 2
        parts.append(f"C{middle:.1f},{ay:.1f} {middle:.1f},{by:.1f} {bx:.1f},{by:.1f}")
    return " ".join(parts)
