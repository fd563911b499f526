"""The OpenAPI document of every protocol is valid, has examples that the service answers, and tells each answer."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve_app.http.app import create_app
from serve_app.ingress import HTTP_PROTOCOLS
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.refusals import write_refusal
from tests.serve_app.conftest import FakeBranch, client_of


@pytest.fixture
def app(pipeline: Pipeline, instances: FakeBranch, limits: Limits) -> FastAPI:
    instances.results = []  # its mask fits one size of picture only
    return create_app(pipeline, limits, HTTP_PROTOCOLS.values(), frozenset(), write_refusal=write_refusal)


def operations(app: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of each."""
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def json_examples(content: dict[str, Any]) -> list[Any]:
    return [form["example"] for form in content.values() if "example" in form]


def test_it_is_valid(app: FastAPI) -> None:
    validate(app.openapi())


def test_it_promises_no_status_that_is_never_answered(app: FastAPI) -> None:
    """FastAPI adds its own 422 wherever it checks a parameter; every protocol here refuses in its own form."""
    assert [path for path, _, operation in operations(app) if "422" in operation["responses"]] == []


def test_every_route_has_an_example(app: FastAPI) -> None:
    for path, method, operation in operations(app):
        asked = operation.get("requestBody", {}).get("content", {})
        answered = operation["responses"]["200"].get("content", {})
        if path in ("/docs", "/openapi.json"):
            continue
        assert json_examples(answered) or set(answered) - {"application/json"}, f"{method} {path}: the answer"
        if asked:
            assert json_examples(asked), f"{method} {path}: the body"


async def test_the_examples_of_bodies_are_answered(app: FastAPI) -> None:
    async with client_of(app) as client:
        for path, method, operation in operations(app):
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" not in content:
                continue
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    path = path.replace(f"{{{parameter['name']}}}", parameter["schema"]["enum"][0])
            answer: httpx.Response = await client.request(method, path, json=content["example"])
            assert answer.status_code == 200, f"{method} {path}: {answer.text[:300]}"


def test_whatever_is_sent_is_answered_as_the_document_says(app: FastAPI) -> None:
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation = found.ok()

        @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            answer = case.call()
            assert answer.status_code != 500, answer.text
            case.validate_response(answer, checks=checks)

        ask()
