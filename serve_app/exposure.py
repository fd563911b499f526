"""Whether a service may listen where its config lets it listen."""

import ipaddress

from ray.serve.context import _get_global_client


def serving_host() -> str:
    """The host that Serve's HTTP servers listen on."""
    client = _get_global_client()
    assert client is not None, "only replicas ask"
    return str(client.http_config.host)


def refuse_to_be_open(host: str, has_keys: bool, public: bool) -> None:
    """Raise ValueError for a service that anybody may use who reaches this machine, unless that is asked for."""
    if not (has_keys or public or is_loopback(host)):
        raise ValueError(
            f"http_options.host is {host}, so other machines can reach this service, and it asks for no API keys: set "
            "api_keys_env or api_keys_file under args, or public: true if a gateway in front of it asks, or host to "
            "127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name other than localhost may mean any address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
