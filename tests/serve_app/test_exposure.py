import pytest

from serve_app.exposure import refuse_to_be_open


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_may_be_open(host: str) -> None:
    refuse_to_be_open(host, has_keys=False, public=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "photos.example", ""])
def test_elsewhere_keys_are_needed_or_asked_to_be_left_out(host: str) -> None:
    with pytest.raises(ValueError, match="api_keys_env or api_keys_file"):
        refuse_to_be_open(host, has_keys=False, public=False)
    refuse_to_be_open(host, has_keys=True, public=False)
    refuse_to_be_open(host, has_keys=False, public=True)
