import os
from pathlib import Path

import pytest
import yaml

from serve_app.api_keys import ApiKeys, Holder, KeyEntry, TooManyRequests, digest, read_key_file

KEYS = ApiKeys.of("alpha", "schlüssel")


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
    assert KEYS.holder(headers) is not None


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
        {"x-api-key": digest(b"alpha")},
    ],
)
def test_anything_else_does_not(headers: dict[str, str]) -> None:
    assert KEYS.holder(headers) is None


def test_no_keys_admit_nobody_and_ask_for_none() -> None:
    assert ApiKeys().holder({"x-api-key": ""}) is None
    assert not ApiKeys()
    assert KEYS


def write(path: Path, *entries: dict[str, object], at: int) -> None:
    path.write_text(yaml.safe_dump({"keys": list(entries)}))
    os.utime(path, ns=(at, at))


def entry(name: str, key: str, **limits: float) -> dict[str, object]:
    return {"name": name, "sha256": digest(key.encode()), **limits}


def test_keys_of_a_file_turn_over_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.api_keys.LOOKED_AT_EVERY_S", 0.0)
    file = tmp_path / "keys.yaml"
    write(file, entry("phone", "old"), at=1)
    keys = ApiKeys.from_settings(None, str(file))
    holder = keys.holder({"x-api-key": "old"})
    assert holder is not None
    write(file, entry("phone", "old"), entry("phone-2", "new"), at=2)
    assert keys.holder({"x-api-key": "new"}) is not None
    assert keys.holder({"x-api-key": "old"}) is holder
    write(file, entry("phone-2", "new"), at=3)
    assert keys.holder({"x-api-key": "old"}) is None


@pytest.mark.parametrize(
    "text", ["keys: []", "keys: [{name: a}]", "[", "keys: [{name: a, sha256: xyz}]", "x" * 2_000_000], ids=range(5)
)
def test_a_broken_file_leaves_the_keys_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("serve_app.api_keys.LOOKED_AT_EVERY_S", 0.0)
    file = tmp_path / "keys.yaml"
    write(file, entry("phone", "old"), at=1)
    keys = ApiKeys.from_settings(None, str(file))
    file.write_text(text)
    assert keys.holder({"x-api-key": "old"}) is not None
    with pytest.raises(ValueError, match=str(file)):
        ApiKeys.from_settings(None, str(file))
    file.unlink()
    assert keys.holder({"x-api-key": "old"}) is not None


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    write(file, entry("phone", "a"), entry("phone", "b"), at=1)
    with pytest.raises(ValueError, match="one name"):
        read_key_file(file)


def test_the_file_holds_no_key_and_neither_does_what_we_keep(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    write(file, entry("phone", "the-secret"), at=1)
    keys = ApiKeys.from_settings(None, str(file))
    assert "the-secret" not in file.read_text()
    assert "the-secret" not in repr(vars(keys))


def test_a_variable_without_a_key_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEYS", " , ")
    with pytest.raises(ValueError, match="SOME_KEYS"):
        ApiKeys.from_settings("SOME_KEYS", None)
    monkeypatch.setenv("SOME_KEYS", "a, b")
    assert ApiKeys.from_settings("SOME_KEYS", None).holder({"x-api-key": "b"}) is not None


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_a_key_has_so_many_requests_a_second() -> None:
    clock = Clock()
    holder = Holder(KeyEntry(name="a", sha256="0" * 64, requests_per_s=2), clock)
    for _ in range(4):
        with holder.request():
            pass
    with pytest.raises(TooManyRequests, match="2 requests a second") as refused, holder.request():
        pass
    assert refused.value.retry_after_s == 1
    clock.now += 0.5
    with holder.request():
        pass
    with pytest.raises(TooManyRequests), holder.request():
        pass


def test_a_key_has_so_many_requests_at_a_time() -> None:
    holder = Holder(KeyEntry(name="a", sha256="0" * 64, ongoing_requests=1))
    with holder.request(), pytest.raises(TooManyRequests, match="in progress"), holder.request():
        pass
    with holder.request():
        pass
