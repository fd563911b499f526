import pytest

from deployments.models.checkpoints.state_keys import LISTED, check_keys


def test_keys_that_fit_pass() -> None:
    check_keys({"a": (1, 2)}, {"a": (1, 2)}, "a network")


def test_what_does_not_fit_is_listed() -> None:
    with pytest.raises(ValueError, match="do not fit a network") as caught:
        check_keys({"a": (1,), "b": (2,)}, {"b": (3,), "c": ()}, "a network")
    message = str(caught.value)
    assert "1 missing: a;" in message
    assert "1 unexpected: c;" in message
    assert "1 of the wrong shape: b [3] instead of [2]" in message


def test_the_list_is_bounded() -> None:
    with pytest.raises(ValueError, match="1000 unexpected") as caught:
        check_keys({}, {f"{'x' * 10_000}{i:04}": () for i in range(1000)}, "a network")
    assert f"and {1000 - LISTED} more" in str(caught.value)
    assert len(str(caught.value)) < 2000
