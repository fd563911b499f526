"""Whether the tensors of a file fit a network."""

from collections.abc import Mapping

LISTED = 10
"""How many keys of each sort an error message lists."""

Shapes = Mapping[str, tuple[int, ...]]


def check_keys(expected: Shapes, found: Shapes, network: str) -> None:
    """Raise ValueError listing keys that are missing, unexpected and mis-shaped, at most LISTED of each.

    network: what they should fit, as the message says it.
    """
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(key[:100] for key in found.keys() - expected.keys()),
        "of the wrong shape": [
            f"{key} {list(found[key])} instead of {list(shape)}"
            for key, shape in sorted(expected.items())
            if key in found and found[key] != shape
        ],
    }
    if any(problems.values()):
        raise ValueError(
            f"the tensors do not fit {network}: "
            + "; ".join(f"{len(keys)} {problem}: {_some(keys)}" for problem, keys in problems.items() if keys)
        )


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more
