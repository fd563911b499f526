"""An environment of its own for a peer's packages, over this one's: PyTorch is not installed twice."""

import subprocess
import sysconfig
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "runs" / "peers"
INSTALL_S = 300


class NotInstalled(Exception):
    """The peer's packages could not be installed; the message is pip's last word."""


def python_of(name: str, requirement: str) -> Path:
    """The interpreter that has ``requirement`` beside all that this one has; made once. Raises NotInstalled."""
    folder = FOLDER / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.is_file() and done.read_text() == requirement:
        return python
    venv.create(folder, with_pip=True, clear=True)
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", variables))
    # Comes after the peer's own packages on the path, so those win.
    (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", requirement]
    try:
        pip = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"pip install {requirement} took more than {INSTALL_S} s") from error
    if pip.returncode != 0:
        raise NotInstalled(f"pip install {requirement}: {(pip.stderr.strip().splitlines() or ['?'])[-1]}")
    done.write_text(requirement)
    return python
