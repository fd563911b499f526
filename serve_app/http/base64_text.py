"""Base64 as people's clients write it, the same in every protocol."""

import binascii
import re

_DATA_URI = re.compile(rb"\s*data:[^,]{0,200};base64,", re.IGNORECASE)
_STANDARD = bytes.maketrans(b"-_", b"+/")


class BrokenBase64(ValueError):
    """Not base64; the message says what is wrong, after "the base64 is broken"."""


def read_base64(text: str | bytes) -> bytes:
    """The bytes that a base64 text stands for.

    Taken are the standard and the URL-safe alphabet (RFC 4648, 4 and 5), line breaks and spaces anywhere, padding or
    none, and the prefix of a ``data:`` URI. Raises BrokenBase64.
    """
    try:
        characters = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise BrokenBase64("characters outside its alphabet") from None
    start = match.end() if (match := _DATA_URI.match(characters)) else 0
    characters = characters[start:].translate(_STANDARD, b" \t\r\n").rstrip(b"=")
    try:
        return binascii.a2b_base64(characters + b"=" * (-len(characters) % 4), strict_mode=True)
    except binascii.Error as error:
        raise BrokenBase64(_reason(characters, str(error))) from None


def _reason(characters: bytes, error: str) -> str:
    if re.search(rb"[^A-Za-z0-9+/=]", characters):
        return "characters outside its alphabet"
    if b"=" in characters:
        return "padding in the middle"
    return "its last characters are missing" if len(characters) % 4 == 1 else error.lower()
