"""Which form of the answer a client would rather have, by its Accept header (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence

_RANGE = re.compile(r"\s*([^\s;,/]+)/([^\s;,]+)\s*(?:;(.*))?", re.DOTALL)
# The zero before the point may be missing, as Java's own client writes it.
_QUALITY = re.compile(r"\s*q\s*=\s*(0?\.[0-9]{1,3}|0\.?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def best_offer(accept: str, offers: Sequence[str]) -> str | None:
    """The offered media type of the highest quality; None where the client refuses all.

    Equal quality goes to the one that the client names more exactly, then to the earlier offer. A client that sends no
    Accept takes anything; ranges that make no sense are passed over.

    >>> best_offer("image/*;q=0.5, */*;q=0.1", ["application/json", "image/jpeg"])
    'image/jpeg'
    """
    if not accept.strip():
        return offers[0]
    ranges = _ranges(accept)
    best, best_rank = None, (0.0, -1)
    for offer in offers:
        exactness, quality = _rank(ranges, offer)
        if quality > 0 and (quality, exactness) > best_rank:
            best, best_rank = offer, (quality, exactness)
    return best


def best_form(accept: str, usual: str, others: Sequence[str]) -> str | None:
    """As ``best_offer``, but the usual type goes before all others wherever ``*/*`` allows it.

    HTTP libraries send lists of their own that name pictures and end in ``*/*``: only who leaves that out, or names the
    usual type with less quality, asks for another one.

    >>> best_form("text/html, image/jpeg, */*; q=.2", "application/json", ["image/jpeg"])
    'application/json'
    """
    exactness, quality = _rank(_ranges(accept), usual)
    return usual if exactness == 0 and quality > 0 else best_offer(accept, (usual, *others))


def _ranges(accept: str) -> list[tuple[str, float]]:
    return [parsed for text in accept.split(",") if (parsed := _parse(text))]


def _rank(ranges: Sequence[tuple[str, float]], offer: str) -> tuple[int, float]:
    """Exactness and quality of the range that speaks of an offer; (-1, 0) where none does."""
    matching = [(exactness, quality) for media, quality in ranges if (exactness := _exactness(media, offer)) >= 0]
    return max(matching, default=(-1, 0.0))


def _parse(text: str) -> tuple[str, float] | None:
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    quality = 1.0
    for parameter in (match[3] or "").split(";"):
        if parameter.strip().lower().startswith("q"):
            value = _QUALITY.fullmatch(parameter)
            if value is None:
                return None
            quality = float(value[1])
    return f"{match[1]}/{match[2]}".lower(), quality


def _exactness(media: str, offer: str) -> int:
    """2 for the type itself, 1 for ``type/*``, 0 for ``*/*``, -1 for another."""
    return {offer: 2, f"{offer.partition('/')[0]}/*": 1, "*/*": 0}.get(media, -1)
