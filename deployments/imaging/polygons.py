"""Outlines of a mask along its pixel edges, with numpy alone."""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Ring = list[list[int]]


class Polygon(TypedDict):
    """One 4-connected part of a mask, outlined along pixel edges.

    A ring is a list of corners [x, y], not closed by a repeated first point, whose sides are horizontal or vertical.
    Coordinates are those of pixel edges: pixel (row y, column x) covers the square from [x, y] to [x + 1, y + 1]. So
    the pixels whose centres lie inside the exterior and in no hole are exactly the part's pixels, and a part one pixel
    wide still has an area. Exteriors run clockwise on the screen, holes counter-clockwise; a ring may touch itself or
    another at a corner, but never crosses.
    """

    exterior: Ring
    holes: list[Ring]


def to_polygons(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Outline a mask, bool [H, W], exactly: a polygon for each 4-connected part, from the top down."""
    edges = _horizontal_edges(mask)
    if len(edges) == 0:
        return []
    polygons: list[Polygon] = []
    part_of = np.empty(len(edges), np.int64)
    # An edge of which the mask lies below, found by where it begins.
    columns = mask.shape[1] + 1
    upper = np.flatnonzero(edges[:, 1] < edges[:, 2])
    begins = edges[upper, 0] * columns + edges[upper, 1]
    for ring in _rings(_following_edges(edges, _vertical_edges(mask), columns)):
        y, start, end = edges[ring].T
        points = np.stack([start, y, end, y], axis=1).reshape(-1, 2).tolist()
        # Edges are in order from the top, so a ring begins with its topmost: the mask is below that of an exterior.
        if start[0] < end[0]:
            part = len(polygons)
            polygons.append({"exterior": points, "holes": []})
        else:
            # Straight up through the mask is a ring of the same part, which began higher and so is known already.
            above = np.flatnonzero(~mask[: y[0], end[0]])
            top = above[-1] + 1 if len(above) else 0
            part = part_of[upper[np.searchsorted(begins, top * columns + end[0], side="right") - 1]]
            polygons[part]["holes"].append(points)
        part_of[ring] = part
    return polygons


def _horizontal_edges(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Maximal horizontal borders of the mask as rows [y, x from, x to], directed with the mask on the right."""
    inside = np.pad(mask, 1).astype(np.int8)
    border = np.diff(inside, axis=0)[:, 1:-1]  # +1: mask below, run eastwards; -1: mask above, run westwards
    padded = np.pad(border, ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1) != 0
    y, start = np.nonzero(change & (padded[:, 1:] != 0))
    _, end = np.nonzero(change & (padded[:, :-1] != 0))
    eastwards = border[y, start] > 0
    return np.stack([y, np.where(eastwards, start, end), np.where(eastwards, end, start)], axis=1)


def _vertical_edges(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Maximal vertical borders of the mask as rows [x, y from, y to], directed with the mask on the right."""
    edges = _horizontal_edges(mask.T)
    return edges[:, [0, 2, 1]]  # the transposition mirrors right and left


def _following_edges(horizontal: NDArray[np.int64], vertical: NDArray[np.int64], columns: int) -> list[int]:
    """For each horizontal edge, the index of the horizontal edge that its outline takes next.

    Where two mask pixels touch only at a corner, four edges meet; a turn to the right keeps their outlines apart.
    """

    def follow(
        arriving: NDArray[np.int64],
        right_turn: NDArray[np.bool_],
        leaving: NDArray[np.int64],
        forward: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        keys = leaving * 2 + forward
        order = np.argsort(keys)
        wanted = arriving * 2 + right_turn
        found = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        left_turn = keys[order][found] != wanted
        found[left_turn] = np.searchsorted(keys[order], wanted[left_turn] ^ 1)
        return order[found]

    y, x_from, x_to = horizontal.T
    x, y_from, y_to = vertical.T
    eastwards, southwards = x_to > x_from, y_to > y_from
    down = follow(y * columns + x_to, eastwards, y_from * columns + x, southwards)
    across = follow(y_to * columns + x, ~southwards, y * columns + x_from, eastwards)
    following: list[int] = across[down].tolist()
    return following


def _rings(following: list[int]) -> list[list[int]]:
    """The cycles of a permutation."""
    rings: list[list[int]] = []
    seen = bytearray(len(following))
    for first in range(len(following)):
        ring = []
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            ring.append(edge)
            edge = following[edge]
        if ring:
            rings.append(ring)
    return rings
