from typing import Annotated, Literal, Optional

from pydantic import BaseModel, Field, field_validator, model_validator

from serve_app.checking.marked_yaml import Problem
from serve_app.checking.strict_model import StrictModel


class Engine(BaseModel):
    power: int = Field(1, ge=1)
    fuel: Literal["petrol", "diesel"] = "petrol"

    def __init__(self, **values: object) -> None:
        raise AssertionError("constructed")


class Wheel(BaseModel):
    size: float

    @field_validator("size")
    @classmethod
    def even(cls, size: float) -> float:
        if size % 2:
            raise ValueError("odd")
        return size


class Car(BaseModel):
    name: str
    doors: Annotated[int, Field(alias="door_count")] = 4
    engine: dict[str, object] | Engine | None = None
    wheels: list[Wheel] = []
    spares: Optional[dict[str, Wheel]] = None  # noqa: UP045
    notes: dict[str, object] = {}
    roof: str | Wheel = "none"

    @model_validator(mode="after")
    def named(self) -> "Car":
        if self.name == "car":
            raise ValueError("a car named car")
        return self


car = StrictModel(Car)


def found(value: object) -> list[Problem]:
    return list(car.problems(value))


def test_good_data_has_no_problems() -> None:
    value = {
        "name": "x",
        "door_count": 2,
        "engine": {"power": 3, "fuel": "diesel"},
        "wheels": [{"size": 2}],
        "spares": {"left": {"size": 4}},
        "notes": {"anything": [1]},
    }
    assert found(value) == []


def test_an_unknown_key_is_found_in_a_union_a_list_and_a_mapping() -> None:
    value = {
        "name": "x",
        "engine": {"powr": 3},
        "wheels": [{"size": 2, "siz": 2}],
        "spares": {"l": {"size": 2, "s": 1}},
    }
    assert found(value) == [
        Problem(("engine", "powr"), "unknown key; did you mean power?"),
        Problem(("wheels", 0, "siz"), "unknown key; did you mean size?"),
        Problem(("spares", "l", "s"), "unknown key; known are size"),
    ]


def test_each_branch_of_a_union_may_object() -> None:
    assert found({"name": "x", "roof": {"sice": 2}, "wheels": [{"size": 1}]}) == [
        Problem(("roof",), 'should be a valid string, got {"sice": 2}'),
        Problem(("roof", "size"), "missing"),
        Problem(("roof", "sice"), "unknown key; did you mean size?"),
        Problem(("wheels", 0, "size"), "odd"),
    ]


def test_a_key_goes_by_its_alias() -> None:
    assert found({"name": "x", "doors": 2}) == [
        Problem(("doors",), "unknown key; known are name, door_count, engine, wheels, spares, notes, roof")
    ]


def test_nothing_is_converted() -> None:
    assert found({"name": "x", "door_count": "2", "wheels": [{"size": True}]}) == [
        Problem(("door_count",), 'should be a valid integer, got "2"'),
        Problem(("wheels", 0, "size"), "should be a valid number, got true"),
    ]


def test_constraints_and_validators_run_without_constructors() -> None:
    assert found({"name": "car", "engine": {"power": 2}}) == [Problem((), "a car named car")]
    assert found({"name": "x", "engine": {"power": 0}}) == [
        Problem(("engine", "power"), "should be greater than or equal to 1, got 0")
    ]


def test_validators_still_judge_what_is_sound_beside_what_is_not() -> None:
    assert found({"name": "x", "colour": 1, "wheels": [5, {"size": 3}]}) == [
        Problem(("wheels", 0), "should be an object, got 5"),
        Problem(("colour",), "unknown key; known are name, door_count, engine, wheels, spares, notes, roof"),
        Problem(("wheels", 1, "size"), "odd"),
    ]


def test_a_substitute_gives_a_bare_mapping_its_form() -> None:
    strict = StrictModel(Car, {"notes": Wheel})
    assert list(strict.problems({"name": "x", "notes": {"sise": 2}})) == [
        Problem(("notes", "size"), "missing"),
        Problem(("notes", "sise"), "unknown key; did you mean size?"),
    ]


def test_a_validator_that_breaks_is_a_problem_and_no_crash() -> None:
    class Fragile(BaseModel):
        items: list[int] = []

        @field_validator("items")
        @classmethod
        def first(cls, items: list[int]) -> list[int]:
            return [items[0], *items]

    assert list(StrictModel(Fragile).problems({"items": []})) == [Problem((), "refused: list index out of range")]
