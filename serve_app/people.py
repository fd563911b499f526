"""Ties each face to the person who holds it."""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.imaging.rle import rle_box_intersection
from deployments.results import Face, FaceLabel, Instance

PERSON = "person"
LEAST_COVERAGE = 0.3
"""Share of a face's box that a person's mask must cover for the face to be that person's."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person instance and the face tied to it, by their indices; face and mask are None for a person without one."""

    instance: int
    face: int | None
    mask: FaceLabel | None


def tie(faces: Sequence[Face], instances: Sequence[Instance]) -> list[Person]:
    """One entry for each person instance, in order.

    Pairs are taken greedily, the best-covered face first; a person holds at most one face, a face at most one person.
    Equal coverage goes to the smaller instance, since a crowd's mask may cover everybody's face.
    """
    people = [index for index, instance in enumerate(instances) if instance.label == PERSON]
    pairs = []
    for face_index, face in enumerate(faces):
        for index in people:
            instance = instances[index]
            if face.box.area <= 0 or face.box.intersection(instance.box) <= 0:
                continue
            coverage = rle_box_intersection(instance.mask, face.box) / face.box.area
            if coverage >= LEAST_COVERAGE:
                pairs.append((-round(coverage, 2), instance.area, face_index, index))
    face_of: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, face_index, index in sorted(pairs):
        if index not in face_of and face_index not in taken:
            face_of[index] = face_index
            taken.add(face_index)
    return [
        Person(index, face_of.get(index), faces[face_of[index]].label if index in face_of else None) for index in people
    ]
