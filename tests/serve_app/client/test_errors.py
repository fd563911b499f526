import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.client.errors import retry_after


@given(st.integers(0, 10**6))
def test_seconds(seconds: int) -> None:
    assert retry_after(str(seconds)) == retry_after(f" {seconds} ") == seconds


def test_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(time, "time", now.timestamp)
    assert retry_after(format_datetime(now + timedelta(seconds=30), usegmt=True)) == 30
    assert retry_after(format_datetime(now - timedelta(seconds=30), usegmt=True)) == 0


@given(st.text(max_size=30))
def test_whatever_else_it_says_is_no_error(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "1.5", "²"])
def test_what_is_no_time(value: str | None) -> None:
    assert retry_after(value) is None
