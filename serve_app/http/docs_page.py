"""The API's documentation as one HTML page that loads nothing from elsewhere."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
h2 { border-top: 1px solid #d5dae1; padding-top: 1.5rem }
code, pre { font: 0.85em/1.45 ui-monospace, monospace; background: #f2f4f7; border-radius: 4px }
code { padding: 0.1em 0.3em } pre { padding: 0.8rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td { vertical-align: top; padding: 0.3rem 0.6rem }
tr + tr { border-top: 1px solid #e6e9ee } summary { cursor: pointer; margin: 0.4rem 0 }
"""


def docs_page(openapi: Mapping[str, Any]) -> str:
    """Render an OpenAPI 3 document."""
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    operations = [
        _operation(method, path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_details(name, schema) for name, schema in openapi.get("components", {}).get("schemas", {}).items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{escape(openapi['info'].get('description', ''))}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>{"".join(operations)}'
        f"<h2>Schemas</h2>{''.join(schemas)}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"]
    # Those of the path are seen in it.
    if options := [each for each in operation.get("parameters", ()) if each["in"] == "query"]:
        rows = [(f"<code>{escape(o['name'])}</code>", _type(o["schema"]), o.get("description", "")) for o in options]
        parts.append("<h3>Options, as query, form or JSON fields</h3>" + _table(rows))
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(_details(f"Body as {media_type}", body["schema"]))
    rows = [
        (f"<code>{status}</code>", ", ".join(response.get("content", {})), response["description"])
        for status, response in operation["responses"].items()
    ]
    return "".join([*parts, "<h3>Answers</h3>", _table(rows)])


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
