import numpy as np

from training.data import Picture
from training.face_detector import INPUT, FaceCrops, crop, mosaic
from training.loop import Draw


def faces(boxes: list[tuple[int, int, int, int]]) -> Picture:
    """White faces on black."""
    image = np.zeros((400, 600, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 255
    sides = np.array(boxes, np.float32).reshape(-1, 4)
    return Picture("test", image, sides, np.ones(len(boxes), np.int64), [], np.zeros(len(boxes), bool))


def share_of_white(image: np.ndarray, box: np.ndarray) -> float:
    left, top, right, bottom = np.clip(box, 0, image.shape[0]).round().astype(int)
    return float((image[top:bottom, left:right] > 127).mean())


def test_boxes_of_a_crop_lie_on_their_faces() -> None:
    for seed in range(30):
        image, boxes = crop(np.random.default_rng(seed), faces([(100, 100, 140, 150), (400, 200, 430, 240)]), INPUT)
        assert len(boxes) >= 1
        assert all(share_of_white(image, box) > 0.8 for box in boxes)


def test_a_mosaic_holds_four_pictures_and_their_boxes_stay_in_their_quarter() -> None:
    pictures = [faces([(100 + 40 * k, 100, 150 + 40 * k, 160)]) for k in range(4)]
    for seed in range(20):
        image, boxes = mosaic(np.random.default_rng(seed), pictures)
        assert image.shape == (INPUT, INPUT, 3)
        assert len(boxes) == 4
        quarters = {(int(x > INPUT / 2), int(y > INPUT / 2)) for x, y in (boxes[:, :2] + boxes[:, 2:]) / 2}
        assert len(quarters) == 4
        assert all(share_of_white(image, box) > 0.8 for box in boxes)


def test_a_picture_without_faces_gives_no_box() -> None:
    crops = FaceCrops([faces([])] * 4, seed=0)
    for number in range(10):
        image, boxes = crops[Draw(0, number)]
        assert image.shape == (INPUT, INPUT, 3)
        assert boxes.shape == (0, 4)
