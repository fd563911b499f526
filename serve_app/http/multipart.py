"""multipart/form-data (RFC 7578), parsed as it comes in, in memory, within limits."""

from collections.abc import Collection
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from serve_app.http.errors import RequestError
from serve_app.http.limits import body_chunks, check_image_count
from serve_app.limits import Limits

MAX_TEXT_FIELDS = 100
MAX_TEXT_BYTES = 64 * 1024


@dataclass(slots=True)
class Part:
    """One field of the form; a file where it has a file name or stands in a field meant for files."""

    name: str
    filename: str | None
    is_file: bool
    data: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        """The value, as UTF-8."""
        return self.data.decode("utf-8", errors="replace")


async def read_form(
    request: Request, limits: Limits, file_fields: Collection[str], max_text_bytes: int = MAX_TEXT_BYTES
) -> list[Part]:
    """The parts in order. Stops reading at the first limit that is passed.

    Raises RequestError: 413 for more than ``limits`` or ``max_text_bytes`` in a text field, 400 for a form that is
    malformed or ends before its closing boundary, and as ``body_chunks``.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise RequestError(400, "bad_request", "the multipart Content-Type has no boundary")
    form = _Form(limits, file_fields, max_text_bytes)
    size = 0
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin_part,
                "on_header_field": form.add_header_name,
                "on_header_value": form.add_header_value,
                "on_header_end": form.end_header,
                "on_headers_finished": form.end_headers,
                "on_part_data": form.add_data,
                "on_end": form.end,
            },
        )
        async for chunk in body_chunks(request, limits):
            size += len(chunk)
            parser.write(chunk)
    except FormParserError as error:
        raise RequestError(400, "bad_request", "the body is not valid multipart/form-data") from error
    if size == 0:
        raise RequestError(400, "no_image", "the body is empty")
    if not form.complete:
        raise RequestError(400, "bad_request", "the multipart body is truncated: its closing boundary is missing")
    return form.parts


class _Form:
    """Takes the parser's events; checks before it stores."""

    def __init__(self, limits: Limits, file_fields: Collection[str], max_text_bytes: int) -> None:
        self.parts: list[Part] = []
        self.complete = False
        self._limits = limits
        self._file_fields = file_fields
        self._max_text_bytes = max_text_bytes
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""

    def begin_part(self) -> None:
        self._disposition = b""

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise RequestError(400, "bad_request", "a part of the multipart body has no field name")
        name = options[b"name"].decode("utf-8", errors="replace")
        filename = options[b"filename"].decode("utf-8", errors="replace") if b"filename" in options else None
        self.parts.append(Part(name, filename, filename is not None or name in self._file_fields))
        files = sum(part.is_file for part in self.parts)
        check_image_count(files, self._limits)
        if len(self.parts) - files > MAX_TEXT_FIELDS:
            raise RequestError(413, "too_many_fields", f"the form has more than {MAX_TEXT_FIELDS} text fields")

    def add_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        if not part.is_file and len(part.data) + end - start > self._max_text_bytes:
            raise RequestError(
                413, "field_too_large", f"form field {part.name[:80]!r} is over {self._max_text_bytes} bytes"
            )
        part.data += data[start:end]

    def end(self) -> None:
        self.complete = True
