"""The API's documentation as one HTML page that loads nothing from elsewhere."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def docs_page(openapi: Mapping[str, Any]) -> str:
    """Render an OpenAPI 3 document; its style and script are those of the page at ``/``."""
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    operations = [
        _operation(method, path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_details(name, schema) for name, schema in openapi.get("components", {}).get("schemas", {}).items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="web/icon.svg"><link rel="stylesheet" href="web/style.css">'
        '<link rel="stylesheet" href="web/docs.css"><script type="module" src="web/docs.js"></script></head>'
        '<body><header class="bar"><a class="brand" href="./"><img src="web/icon.svg" alt="" width="28" height="28">'
        f'Maskgraph</a><a href="openapi.json">openapi.json</a></header><main class="docs"><h1>{title}</h1>'
        f"<p>{escape(openapi['info'].get('description', ''))}</p>{''.join(operations)}"
        f"<h2>Schemas</h2>{''.join(schemas)}</main></body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"]
    # Those of the path are seen in it.
    if options := [each for each in operation.get("parameters", ()) if each["in"] == "query"]:
        rows = [(f"<code>{escape(o['name'])}</code>", _type(o["schema"]), o.get("description", "")) for o in options]
        parts.append("<h3>Options, as query, form or JSON fields</h3>" + _table(rows))
        if path == "/analyze":
            parts.append(_try_it(options))
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(_details(f"Body as {media_type}", body["schema"]))
    rows = [
        (f"<code>{status}</code>", ", ".join(response.get("content", {})), response["description"])
        for status, response in operation["responses"].items()
    ]
    return "".join([*parts, "<h3>Answers</h3>", _table(rows)])


def _try_it(options: Sequence[Mapping[str, Any]]) -> str:
    """A form for a photo and its options, which docs.js sends; it stays hidden without that script."""
    fields = "".join(
        f"<label><code>{escape(option['name'])}</code>{_input(option['name'], option['schema'])}</label>"
        for option in options
    )
    return (
        '<form class="try" hidden><h3>Try it</h3><label>Photo<input type="file" name="image" accept="image/*"></label>'
        f'<details><summary>Options</summary><div class="fields">{fields}</div></details>'
        '<div class="buttons"><button class="primary">Send</button>'
        '<button name="sample" value="together.jpg">Send a sample photo</button></div>'
        '<div class="outcome" aria-live="polite"></div></form>'
    )


def _input(name: str, schema: Mapping[str, Any]) -> str:
    """The form field for a value of this schema; left empty, the option is not sent."""
    name = escape(name)
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    schema = options[0]
    choices = ["true", "false"] if schema.get("type") == "boolean" else schema.get("enum", [])
    if choices:
        chosen = "".join(f"<option>{escape(choice)}</option>" for choice in ("", *choices))
        return f'<select name="{name}">{chosen}</select>'
    if schema.get("type") in ("number", "integer"):
        bounds = "".join(
            f' {attribute}="{schema[key]:g}"'
            for attribute, key in (("min", "minimum"), ("min", "exclusiveMinimum"), ("max", "maximum"))
            if key in schema
        )
        return f'<input type="number" name="{name}" step="{1 if schema["type"] == "integer" else "any"}"{bounds}>'
    return f'<input type="text" name="{name}" autocomplete="off">'


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    words = " | ".join(schema["enum"]) if "enum" in schema else str(schema.get("type", ""))
    if "items" in schema:
        words += f" of {_type(schema['items'])}"
    bounds = [(">", "exclusiveMinimum"), ("≥", "minimum"), ("≤", "maximum")]
    return " ".join([words, *(f"{sign} {schema[key]:g}" for sign, key in bounds if key in schema)])


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Rows of a name, which is HTML, and two plain texts."""
    cells = [f"<tr><td>{name}</td><td>{escape(kind)}</td><td>{escape(text)}</td></tr>" for name, kind, text in rows]
    return f"<table>{''.join(cells)}</table>"


def _details(title: str, schema: Mapping[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>"
