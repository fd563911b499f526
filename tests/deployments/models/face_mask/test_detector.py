import torch

from deployments.models.face_mask.detector import (
    STRIDES,
    FaceDetector,
    LevelOutput,
    decode_boxes,
    detect,
    one_box_a_face,
)


def blank_levels(pictures: int = 1, size: int = 64) -> list[LevelOutput]:
    """Raw outputs in which no cell sees a face."""
    return [
        LevelOutput(torch.full((pictures, size // s, size // s), -9.0), torch.ones(pictures, 4, size // s, size // s))
        for s in STRIDES
    ]


def put_face(level: LevelOutput, picture: int, row: int, column: int, logit: float, reach: float) -> None:
    level.logits[picture, row, column] = logit
    level.distances[picture, :, row, column] = reach


def test_one_output_a_level_at_its_stride() -> None:
    with torch.inference_mode():
        levels = FaceDetector().eval()(torch.zeros(2, 3, 96, 64))
    assert [tuple(level.logits.shape) for level in levels] == [(2, 96 // s, 64 // s) for s in STRIDES]
    assert all(float(level.distances.min()) > 0 for level in levels)


def test_boxes_reach_from_the_cells_centre_to_each_side() -> None:
    level = LevelOutput(torch.zeros(1, 2, 3), torch.tensor([1.0, 2, 3, 4]).view(1, 4, 1, 1).expand(1, 4, 2, 3))
    boxes = decode_boxes(level, stride=8)
    # Row 1, column 2: centre (20, 12).
    assert boxes[0, 1, 2].tolist() == [19, 10, 23, 16]


def test_threshold_and_picture_index() -> None:
    levels = blank_levels(pictures=3)
    put_face(levels[0], 2, 3, 5, 4.0, 6.0)
    put_face(levels[1], 1, 1, 1, -1.0, 6.0)
    found = detect(levels, threshold=0.5)
    assert found.image.tolist() == [2]
    assert found.boxes.tolist() == [[16, 8, 28, 20]]
    assert abs(float(found.scores[0]) - torch.tensor(4.0).sigmoid().item()) < 1e-6


def test_nms_keeps_the_best_of_overlapping_faces_but_never_across_pictures() -> None:
    levels = blank_levels(pictures=2)
    put_face(levels[0], 0, 3, 3, 2.0, 10.0)
    put_face(levels[0], 0, 3, 4, 3.0, 10.0)
    put_face(levels[0], 1, 3, 3, 1.0, 10.0)
    found = detect(levels, threshold=0.5)
    assert sorted(zip(found.image.tolist(), found.scores.tolist(), strict=True)) == [
        (0, torch.tensor(3.0).sigmoid().item()),
        (1, torch.tensor(1.0).sigmoid().item()),
    ]


def test_no_face_gives_empty_tensors() -> None:
    found = detect(blank_levels(), threshold=0.5)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_a_box_inside_or_around_a_better_one_is_the_same_face() -> None:
    face, glasses, neighbour, around = [0, 0, 100, 100], [20, 20, 80, 40], [70, 0, 170, 100], [-40, -40, 140, 140]
    boxes = torch.tensor([glasses, face, neighbour, around], dtype=torch.float32)
    assert one_box_a_face(boxes, torch.tensor([0.5, 0.9, 0.8, 0.4])).tolist() == [1, 2]
    assert one_box_a_face(boxes[:0], torch.zeros(0)).tolist() == []
