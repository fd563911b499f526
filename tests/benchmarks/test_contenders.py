"""Contenders are started as said, and leave nothing behind."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.contenders import Floor, HttpServer, Photos, Skipped, Subprocess
from benchmarks.lineup import CONFIG, free_port, serve_command, service
from benchmarks.processes import processes, trees
from serve_app.commands.bench.loadgen import Failed

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")

SERVER = """
import http.server, json, subprocess, sys
deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(99)"
subprocess.Popen([sys.executable, "-c", deaf])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"")
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever()
"""


async def test_a_server_is_asked_and_ends_with_all_its_children(tmp_path: Path) -> None:
    port = free_port(18500)
    process = Subprocess([sys.executable, "-c", SERVER, str(port)], os.environ, tmp_path / "log")
    wrong = {b"good": None, b"bad": "overloaded"}.__getitem__
    server = HttpServer("echo", process, f"http://127.0.0.1:{port}", "/", wrong=wrong)
    photos = Photos([b"good", b"bad"], tmp_path)
    await server.start()
    family = trees(server.roots)
    assert len(family) == 2
    await server.ask(photos, 0)
    with pytest.raises(Failed, match="200 with overloaded"):
        await server.ask(photos, 1)
    await server.stop()
    await asyncio.sleep(0.2)
    assert not family.keys() & processes().keys()


async def test_a_server_that_ends_at_once_is_skipped(tmp_path: Path) -> None:
    process = Subprocess([sys.executable, "-c", "raise SystemExit(3)"], os.environ, tmp_path / "log")
    server = HttpServer("none", process, "http://127.0.0.1:9", "/")
    with pytest.raises(Skipped, match="ended with 3"):
        await server.start()
    await server.stop()


async def test_the_floor_answers_first_come_first_served_and_fails_once_it_has_ended(tmp_path: Path) -> None:
    floor = Floor("floor", ["--threads=1"], {}, 1, tmp_path / "log")
    worker = "print('ready', flush=True)\nfor line in open(0): print(open(line.strip()).read(), flush=True)"
    floor.workers[0].command = [sys.executable, "-c", worker]
    await floor.start()
    try:
        photos, order = Photos([b"0", b"1"], tmp_path), []

        async def client(name: int) -> None:
            for turn in range(3):
                await floor.ask(photos, turn)
                order.append(name)

        await asyncio.gather(*(client(name) for name in range(4)))
        assert order == [0, 1, 2, 3] * 3
    finally:
        await floor.stop()
    with pytest.raises(Failed):
        await floor.ask(Photos([b"0"], tmp_path), 0)


def test_the_service_is_what_make_serve_starts_but_for_its_ports(tmp_path: Path) -> None:
    server = service("service", 18500, "float32", tmp_path)
    written = yaml.safe_load((tmp_path / "service.yaml").read_text())
    original = yaml.safe_load(CONFIG.read_text())
    assert f":{written['http_options']['port']}" in server.url
    for part in ("http_options", "grpc_options"):
        assert written[part].pop("port") >= 18500
        original[part].pop("port")
    assert written["applications"][0]["args"].pop("precision") == "float32"
    original["applications"][0]["args"].pop("precision", None)
    assert written == original
    assert "$(BIN)/maskgraph serve serve_config.yaml" in CONFIG.with_name("Makefile").read_text()
    assert Path(serve_command(CONFIG)[0]).name == "maskgraph"
    assert serve_command(CONFIG)[1:] == ["serve", str(CONFIG)]


def test_a_fixed_number_of_replicas_is_every_models(tmp_path: Path) -> None:
    service("two", 18500, "float32", tmp_path, replicas=2)
    deployments = yaml.safe_load((tmp_path / "two.yaml").read_text())["applications"][0]["deployments"]
    assert {each["name"]: each.get("num_replicas") for each in deployments} == {
        "Ingress": None,
        "MaskDetection": 2,
        "InstanceSegmentation": 2,
    }
