import numpy as np
from hypothesis import example, given
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.data import horse
from skimage.measure import label, points_in_poly

from deployments.imaging.polygons import Polygon, to_polygons

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))
HORSE: Mask = ~horse()
RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
CHECKERBOARD = np.indices((6, 7)).sum(axis=0) % 2 == 0
NESTED = np.pad(np.pad(np.pad(RING, 1), 2, constant_values=True), 1)


def inside(ring: list[list[int]], shape: tuple[int, int]) -> Mask:
    """Pixels whose centres a ring holds, by a library that knows nothing of our convention."""
    y, x = np.indices(shape) + 0.5
    return points_in_poly(np.stack([x.ravel(), y.ravel()], axis=1), np.array(ring, float)).reshape(shape)


def rasterise(polygons: list[Polygon], shape: tuple[int, int]) -> Mask:
    filled = np.zeros(shape, bool)
    for polygon in polygons:
        part = inside(polygon["exterior"], shape)
        for hole in polygon["holes"]:
            part &= ~inside(hole, shape)
        filled |= part
    return filled


@given(masks)
@example(RING)
@example(CHECKERBOARD)
@example(np.ones((1, 9), bool))
@example(~CHECKERBOARD)
def test_filled_polygons_give_back_the_mask(mask: Mask) -> None:
    polygons = to_polygons(mask)
    np.testing.assert_array_equal(rasterise(polygons, mask.shape), mask)
    for polygon in polygons:
        for ring in (polygon["exterior"], *polygon["holes"]):
            steps = np.abs(np.diff(np.array([*ring, ring[0]]), axis=0))
            assert ((steps == 0).sum(axis=1) == 1).all(), "every side is horizontal or vertical"


def test_polygons_of_a_photo_sized_mask() -> None:
    polygons = to_polygons(HORSE)
    np.testing.assert_array_equal(rasterise(polygons, HORSE.shape), HORSE)


def test_polygon_with_a_hole_is_written_out() -> None:
    assert to_polygons(RING) == [
        {
            "exterior": [[0, 0], [3, 0], [3, 2], [4, 2], [4, 3], [0, 3]],
            "holes": [[[2, 1], [1, 1], [1, 2], [2, 2]]],
        }
    ]


def test_pixels_that_touch_at_a_corner_are_two_polygons() -> None:
    assert len(to_polygons(np.eye(2, dtype=bool))) == 2


@given(masks)
@example(NESTED)
@example(~NESTED)
def test_a_polygon_is_one_part_with_its_own_holes(mask: Mask) -> None:
    parts = label(mask, connectivity=1)
    polygons = to_polygons(mask)
    assert len(polygons) == parts.max()
    for polygon in polygons:
        filled = rasterise([polygon], mask.shape)
        np.testing.assert_array_equal(filled, parts == parts[filled][0])
