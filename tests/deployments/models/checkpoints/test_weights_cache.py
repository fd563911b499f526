import hashlib
import logging
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
import trustme
import yaml

from deployments.models.card import ModelCard, card_path
from deployments.models.checkpoints import weights_cache
from deployments.models.checkpoints.weights_cache import cache_folder, fetch, local_weights

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """An HTTPS server on loopback; ``asked`` counts requests by path."""

    port: int
    asked: Counter[str] = field(default_factory=Counter)
    released: threading.Event = field(default_factory=threading.Event)
    """``/slow`` sends its second half only then."""

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        server: Server = self.server.described  # type: ignore[attr-defined]
        server.asked[path] += 1
        if path.startswith("/to-"):
            target = {"/to-http": f"http://localhost:{server.port}/weights", "/to-weights": server.url("/weights")}
            self.answer(302, b"", {"Location": target[path]})
        elif path == "/weights":
            self.answer(200, CONTENT, {"Content-Length": str(len(CONTENT))})
        elif path == "/slow":
            self.answer(200, CONTENT[:1000], {"Content-Length": str(len(CONTENT))})
            server.released.wait(timeout=30)
            self.wfile.write(CONTENT[1000:])
        elif path == "/truncated":
            self.answer(200, CONTENT[:-1], {"Content-Length": str(len(CONTENT))})
        elif path == "/unstated":
            self.answer(200, CONTENT, {})
        elif path == "/huge":
            self.answer(200, b"", {"Content-Length": str(2**40)})
        else:
            self.answer(404, b"", {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Trusted by its authority alone, with an empty cache."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path / "cache"))
    listening = ThreadingHTTPServer(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    described = Server(listening.server_address[1])
    listening.described = described  # type: ignore[attr-defined]
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield described
    described.released.set()
    listening.shutdown()
    listening.server_close()
    thread.join()


def kept() -> list[str]:
    """What the cache holds, but for the empty files that processes lock."""
    return sorted(path.name for path in cache_folder().glob("*") if path.suffix != ".lock")


def test_downloaded_once(server: Server) -> None:
    path = fetch(server.url("/weights"), SHA256)
    assert path.read_bytes() == CONTENT
    assert path.parent == cache_folder()
    assert fetch(server.url("/weights"), SHA256) == path
    assert server.asked == {"/weights": 1}
    assert kept() == [SHA256]


def test_a_cached_file_that_was_damaged_is_fetched_again(server: Server) -> None:
    path = fetch(server.url("/weights"), SHA256)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert fetch(server.url("/weights"), SHA256).read_bytes() == CONTENT
    assert server.asked["/weights"] == 2


def test_another_file_than_expected(server: Server) -> None:
    expected = "0" * 64
    with pytest.raises(ValueError, match=rf"/weights has sha256 {SHA256}, expected {expected}"):
        fetch(server.url("/weights"), expected)
    assert kept() == []


def test_a_truncated_body(server: Server) -> None:
    with pytest.raises(ConnectionError, match=r"/truncated.*1279999 bytes.*1280000"):
        fetch(server.url("/truncated"), SHA256)
    assert kept() == []


def test_an_error_of_the_server(server: Server) -> None:
    with pytest.raises(ConnectionError, match=r"/nothing: the server answered 404"):
        fetch(server.url("/nothing"), SHA256)
    assert kept() == []


def test_an_interruption(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(count: int, source: str) -> None:
        if count == weights_cache.CHUNK_BYTES:
            assert kept() == [f"{SHA256}.partial"]
            raise KeyboardInterrupt

    monkeypatch.setattr(weights_cache, "_check_size", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(server.url("/weights"), SHA256)
    assert server.asked["/weights"] == 1
    assert kept() == []


def test_what_a_killed_process_left_does_no_harm(server: Server) -> None:
    cache_folder().mkdir()
    (cache_folder() / f"{SHA256}.partial").write_bytes(b"x" * 2 * len(CONTENT))
    assert fetch(server.url("/weights"), SHA256).read_bytes() == CONTENT
    assert kept() == [SHA256]


def test_too_large_by_its_own_statement(server: Server) -> None:
    with pytest.raises(ValueError, match=r"/huge is over 4294967296 bytes"):
        fetch(server.url("/huge"), SHA256)
    assert kept() == []


def test_too_large_without_a_statement(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_cache, "MOST_BYTES", len(CONTENT) - 1)
    with pytest.raises(ValueError, match=r"/unstated is over 1279999 bytes"):
        fetch(server.url("/unstated"), SHA256)
    assert kept() == []


def test_redirects_are_followed_to_https_only(server: Server) -> None:
    with pytest.raises(ConnectionError, match="redirected to http://localhost, but only https is followed"):
        fetch(server.url("/to-http"), SHA256)
    assert kept() == []
    assert fetch(server.url("/to-weights"), SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://localhost/weights", "https://", "https://localhost:x/weights"])
def test_urls_that_are_none_of_ours(server: Server, url: str) -> None:
    with pytest.raises((ConnectionError, ValueError)):
        fetch(url, SHA256)
    assert kept() == []


def test_a_certificate_that_nobody_vouches_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with pytest.raises(ConnectionError, match=r"/weights: .*certificate"):
        fetch(server.url("/weights"), SHA256)
    assert server.asked == {}
    assert kept() == []


def test_two_at_once_download_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Semaphore(0)
    is_whole = weights_cache._is_whole

    def look(path: Path) -> bool:
        whole = is_whole(path)
        looked.release()
        return whole

    monkeypatch.setattr(weights_cache, "_is_whole", look)
    with ThreadPoolExecutor(2) as pool:
        paths = [pool.submit(fetch, server.url("/slow"), SHA256) for _ in range(2)]
        # One has looked twice and downloads; the other has looked, found nothing, and comes to the lock.
        for _ in range(3):
            assert looked.acquire(timeout=20)
        server.released.set()
        assert [path.result().read_bytes() == CONTENT for path in paths] == [True, True]
    assert server.asked == {"/slow": 1}
    assert kept() == [SHA256]


def test_without_a_terminal_there_are_log_lines(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Ray stops its own loggers from reaching the root's handlers, which pytest watches.
    monkeypatch.setattr(weights_cache, "logger", logging.getLogger("watched"))
    monkeypatch.setattr(weights_cache, "LOGGED_EVERY", 1_000_000)
    with caplog.at_level(logging.INFO, "watched"):
        fetch(server.url("/weights?signature=secret"), SHA256)
    source = "https://localhost/weights"
    assert caplog.messages == [f"fetching {source} (1.3 MB)", f"fetched 1 MB of {source}", f"fetched all of {source}"]


def test_a_terminal_has_a_bar(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    fetch(server.url("/weights"), SHA256)
    assert "weights" in terminal.getvalue()
    assert "1.3/1.3 MB" in terminal.getvalue()


def test_errors_tell_no_signature(server: Server) -> None:
    with pytest.raises(ConnectionError) as error:
        fetch(server.url("/truncated?signature=secret"), SHA256)
    assert "secret" not in str(error.value)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASKGRAPH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path.home() / ".cache" / "maskgraph"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/maskgraph")
    monkeypatch.setenv("MASKGRAPH_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def card(**changes: str) -> ModelCard:
    document = yaml.safe_load(card_path("face_mask").read_text(encoding="utf-8"))
    return ModelCard.model_validate(document | changes)


def test_a_cards_url(server: Server, tmp_path: Path) -> None:
    path = local_weights(card(weights=server.url("/weights"), sha256=SHA256), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_cards_path(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    weights = tmp_path / "models" / "mine.safetensors"
    weights.write_bytes(CONTENT)
    assert local_weights(card(weights="models/mine.safetensors"), tmp_path) == weights
    assert local_weights(card(weights=str(weights), sha256=SHA256), tmp_path / "elsewhere") == weights
    with pytest.raises(ValueError, match=rf"mine\.safetensors has sha256 {SHA256}, expected {'0' * 64}"):
        local_weights(card(weights="models/mine.safetensors", sha256="0" * 64), tmp_path)


def test_a_cards_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model card face_mask: there is no weights file .*mine\.pth"):
        local_weights(card(weights="mine.pth"), tmp_path)
