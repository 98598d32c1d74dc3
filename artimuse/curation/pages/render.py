"""One self-contained HTML file from a template: nothing is loaded from elsewhere, and nothing in the data is code."""

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from artimuse.runs.terminal import without_controls

_FOLDER = resources.files("artimuse.curation.pages")


def render(template: str, *, plots: dict[str, Any], details: list[dict[str, Any]], **values: Any) -> str:
    """The page of a template in this folder, as text.

    `plots` are Vega-Lite specifications by the id of the element that they go into, `details` what the script shows of
    single images. All other values are the template's, which escapes them.
    """
    scripts = [_library(), _text("page.js")]
    page = (
        _environment()
        .get_template(template)
        .render(
            style=Markup(_text("page.css")),
            scripts=[Markup(script) for script in scripts],
            policy=_policy(scripts),
            plots=Markup(_json(plots)),
            details=Markup(_json(details)),
            **values,
        )
    )
    # A file in UTF-8 has no halves of surrogate pairs.
    return page.encode("utf-8", "replace").decode()


def _policy(scripts: list[str]) -> str:
    """Only these scripts run. The plots' library writes styles into elements."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}; base-uri 'none'"


def _json(value: Any) -> str:
    """Within a <script> nothing but `</` and `<!--` could end it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


@cache
def _library() -> str:
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def _text(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )


def _visible(value: Any) -> Any:
    """Control characters as text; what is ours has none."""
    return without_controls(value) if isinstance(value, str) and not isinstance(value, Markup) else value
