"""A service that is started for a measurement, as ``maskgraph serve`` does."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

COMMAND = (sys.executable, "-c", "from serve_app.cli import main; main()", "serve")


@contextmanager
def own_service(command: Sequence[str] = COMMAND) -> Iterator[str]:
    """Its URL, once it is ready; it is ended afterwards. Raises ValueError where it does not start, having said why."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        for line in process.stdout:
            if page := re.match(r" *page +(\S+)", line):
                yield page[1]
                return
        raise ValueError("no service could be started; --url asks one that runs")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
