"""From a start to its end: what the one who started it is told."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx

from serve_app.commands.serving.session import Session
from serve_app.commands.serving.status import failures, is_running, troubles

EVERY_S = 0.5
"""Between two looks at a start."""
WATCH_S = 5.0
"""Between two looks at what runs: each costs 20 ms of CPU here and in the controller."""
Say = Callable[[str], object]


class StartFailed(Exception):
    """The service did not start; the message says why, a line a cause."""


class Follower:
    """Tells of each trouble once when it comes, and once when it is over."""

    def __init__(self, session: Session, say: Say) -> None:
        self.session, self.say = session, say
        self.known: dict[str, str] = {}

    def wait_until_ready(self, pages: Sequence[str]) -> None:
        """Return once every model of these applications answers. Raises StartFailed."""
        while not (is_running(self.session.status()) and all(map(is_ready, pages))):
            if found := failures(self.session.status()):
                raise StartFailed("\n".join(found))
            self.look()
            time.sleep(EVERY_S)

    def look(self) -> None:
        """Tell what has changed since the last look."""
        now = troubles(self.session.status())
        for name, trouble in now.items():
            if self.known.get(name) != trouble:
                self.say(f"{name} {trouble}")
        for name in self.known.keys() - now.keys():
            self.say(f"{name} is well again")
        self.known = now

    def watch(self) -> None:
        """Look again and again, until something is raised."""
        while True:
            self.look()
            time.sleep(WATCH_S)


def is_ready(page: str) -> bool:
    """Whether the application at this URL says that it is."""
    with suppress(httpx.HTTPError):
        # Here a certificate is asked by another name than its own.
        return httpx.get(f"{page}readyz", verify=False, trust_env=False).status_code == httpx.codes.OK
    return False
