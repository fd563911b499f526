import pytest

from serve_app.api_keys import carries_key

KEYS = ("alpha", "schlüssel")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "alpha"},
        {"authorization": "Bearer alpha"},
        {"authorization": "bearer  alpha"},
        {"x-api-key": "schlüssel".encode().decode("latin-1")},
        {"x-api-key": "alpha", "authorization": "Bearer a gateway's own token"},
        {"x-api-key": "a gateway's own token", "authorization": "Bearer alpha"},
    ],
)
def test_a_key_admits(headers: dict[str, str]) -> None:
    assert carries_key(headers, KEYS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "alph"},
        {"x-api-key": "alphaa"},
        {"authorization": "alpha"},
        {"authorization": "Basic alpha"},
        {"authorization": "Bearer "},
        {"x-api-key": "\u2603"},
    ],
)
def test_anything_else_does_not(headers: dict[str, str]) -> None:
    assert not carries_key(headers, KEYS)


def test_no_keys_admit_nobody() -> None:
    assert not carries_key({"x-api-key": ""}, ())
