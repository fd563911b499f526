import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.http.base64_text import BrokenBase64, read_base64

LINES = st.sampled_from(["", "\n", "\r\n", " ", "\t"])


@given(st.binary(max_size=100), st.booleans(), st.booleans(), st.integers(1, 80), LINES, st.booleans(), st.booleans())
def test_every_dress(
    data: bytes, url_safe: bool, padded: bool, width: int, line_end: str, is_uri: bool, as_bytes: bool
) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    if not padded:
        text = text.rstrip("=")
    text = line_end.join(textwrap.wrap(text, width)) + line_end
    if is_uri:
        text = "data:image/jpeg;charset=utf-8;base64," + text
    assert read_base64(text.encode() if as_bytes else text) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%%%", "alphabet"),
        ("a$bc", "alphabet"),
        ("口罩", "alphabet"),
        (b"\xff\xd8\xff", "alphabet"),
        ("data:image/png,AAAA", "alphabet"),
        ("http://127.0.0.1/x.jpg", "alphabet"),
        ("AA==AAAA", "padding in the middle"),
        ("AAAAA", "last characters are missing"),
        ("A===", "last characters are missing"),
    ],
)
def test_what_is_broken_is_named(text: str | bytes, reason: str) -> None:
    with pytest.raises(BrokenBase64, match=reason):
        read_base64(text)


@given(st.one_of(st.text(max_size=40), st.binary(max_size=40)))
def test_anything_is_bytes_or_broken(text: str | bytes) -> None:
    try:
        data = read_base64(text)
    except BrokenBase64:
        return
    assert len(data) <= len(text)
