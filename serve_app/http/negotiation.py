"""Which form of the answer a client would rather have, by its Accept header (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence

_RANGE = re.compile(r"\s*([^\s;,/]+)/([^\s;,]+)\s*(?:;(.*))?", re.DOTALL)
_QUALITY = re.compile(r"\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def best_offer(accept: str, offers: Sequence[str]) -> str | None:
    """The offered media type of the highest quality; None where the client refuses all.

    Equal quality goes to the one that the client names more exactly, then to the earlier offer. A client that sends no
    Accept takes anything; ranges that make no sense are passed over.

    >>> best_offer("image/*;q=0.5, */*;q=0.1", ["application/json", "image/jpeg"])
    'image/jpeg'
    """
    if not accept.strip():
        return offers[0]
    ranges = [parsed for text in accept.split(",") if (parsed := _parse(text))]
    best, best_rank = None, (0.0, -1)
    for offer in offers:
        matching = [(exactness, quality) for media, quality in ranges if (exactness := _exactness(media, offer)) >= 0]
        if not matching:
            continue
        exactness, quality = max(matching)
        if quality > 0 and (quality, exactness) > best_rank:
            best, best_rank = offer, (quality, exactness)
    return best


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
