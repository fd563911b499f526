import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.http.negotiation import best_form, best_offer

OFFERS = ("application/json", "image/jpeg", "image/png")


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/jpeg", "image/jpeg"),
        ("IMAGE/PNG", "image/png"),
        ("image/*", "image/jpeg"),
        ("image/jpeg, */*", "image/jpeg"),
        ("image/png;q=0.9, image/jpeg;q=0.5", "image/png"),
        ("image/*;q=0.5, application/json;q=0.4", "image/jpeg"),
        ("image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5", "image/png"),
        ("image/jpeg;q=0, image/*", "image/png"),
        ("application/json;q=0.1, image/png;q=0.001", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
        ("text/html", None),
        ("image/jpeg;q=0", None),
        ("*/*;q=0", None),
        ("nonsense", None),
        ("image/jpeg;q=nan", None),
        ("image/jpeg;q=2, image/png", "image/png"),
        (" , ,image/png", "image/png"),
        ("image/png;q=.4, image/jpeg;q=0.", "image/png"),
    ],
)
def test_the_clients_preference_wins(accept: str, best: str | None) -> None:
    assert best_offer(accept, OFFERS) == best


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("*/*;q=.2", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
        ("image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("image/jpeg", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png, application/json;q=.5", "image/png"),
        ("image/png, application/json;q=0.5, */*;q=0.1", "image/png"),
        ("image/png;q=0.4, application/json;q=0.5", "application/json"),
        ("image/png, */*;q=0", "image/png"),
        ("text/html", None),
    ],
)
def test_another_form_only_where_it_is_clearly_wanted(accept: str, best: str | None) -> None:
    assert best_form(accept, OFFERS[0], OFFERS[1:]) == best


@given(st.text(alphabet="imagejpnq=*/;,. 015", max_size=40))
def test_any_header_gives_an_offer_or_none(accept: str) -> None:
    assert best_offer(accept, OFFERS) in (*OFFERS, None)
