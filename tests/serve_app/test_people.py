import numpy as np

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import rle_box
from deployments.results import Box, Face, FaceLabel, Instance
from serve_app.people import Person, tie

SIZE = (60, 80)


def person(top: int, bottom: int, left: int, right: int, label: str = "person") -> Instance:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    rle = encode_rle(mask)
    return Instance(0, label, 0.9, rle_box(rle), rle, int(mask.sum()))


def face(left: float, top: float, side: float = 10, label: FaceLabel = "MASK") -> Face:
    return Face(Box(left, top, left + side, top + side), 0.9, label, 0.9)


def test_nobody_and_nothing() -> None:
    assert tie([], []) == []
    assert tie([face(0, 0)], []) == []


def test_each_person_gets_the_face_inside_it() -> None:
    people = [person(0, 60, 40, 80), person(0, 60, 0, 40)]
    faces = [face(10, 5), face(50, 5, label="NO MASK")]
    assert tie(faces, people) == [Person(0, 1, "NO MASK"), Person(1, 0, "MASK")]


def test_a_person_without_a_face_is_listed() -> None:
    assert tie([face(50, 5)], [person(0, 60, 0, 30)]) == [Person(0, None, None)]


def test_only_persons_hold_faces() -> None:
    found = [person(0, 60, 0, 40, label="teddy bear"), person(0, 60, 40, 80)]
    assert tie([face(10, 5)], found) == [Person(1, None, None)]


def test_a_person_holds_one_face_and_the_better_covered_one() -> None:
    assert tie([face(-6, 5), face(10, 20)], [person(0, 60, 0, 40)]) == [Person(0, 1, "MASK")]


def test_a_face_goes_to_one_person_the_smaller_of_two_that_cover_it_alike() -> None:
    crowd, one = person(0, 60, 0, 80), person(0, 60, 0, 40)
    assert tie([face(10, 5)], [crowd, one]) == [Person(0, None, None), Person(1, 0, "MASK")]


def test_a_face_barely_touched_belongs_to_nobody() -> None:
    assert tie([face(38, 5)], [person(0, 60, 0, 40)]) == [Person(0, None, None)]


def test_an_empty_box_belongs_to_nobody() -> None:
    assert tie([face(10, 5, side=0)], [person(0, 60, 0, 40)]) == [Person(0, None, None)]
