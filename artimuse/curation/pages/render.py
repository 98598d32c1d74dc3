"""One HTML file from a template: nothing in it is loaded from elsewhere, and nothing that comes from data is code."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from artimuse.runs.terminal import without_controls

_FOLDER = files("artimuse.curation.pages")
GENERATOR = "artimuse"
"""What every page says of itself, by which it is known again."""
IS_OURS = f'<meta name="generator" content="{GENERATOR}">'


def render(template: str, values: Mapping[str, Any], *, plots: Mapping[str, Any], details: Mapping[str, Any]) -> bytes:
    """The page of a template of this folder, in UTF-8.

    `values` are the template's, which escapes them; `plots` are Vega-Lite specifications by the id of their element;
    `details` is what the script shows of single images.
    """
    style = _text("page.css")
    scripts = [_plot_library(), _text("page.js")]
    page: str = (
        _environment()
        .get_template(template)
        .render(
            values,
            is_ours=Markup(IS_OURS),
            policy=_policy(style, scripts),
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            plots=_as_json(plots),
            details=_as_json(details),
        )
    )
    return page.encode("utf-8", "replace")  # half a surrogate pair, which JSON may hold, is no text


def _policy(style: str, scripts: Sequence[str]) -> str:
    """Nothing but these texts may style the page or run in it, and no address may be asked for anything."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {allowed}; base-uri 'none';"
        " form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _as_json(value: Any) -> Markup:
    """For a script element: without `<`, nothing in it can end the element."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def num_bytes(value: Any) -> int:
    """What a value takes in the page, as what the script shows."""
    return len(_as_json(value).encode("utf-8", "replace"))


@cache
def _plot_library() -> str:
    """Vega-Embed and all that it needs. In the code of a script element, `</script` must not occur."""
    return re.sub("</(?=script)", r"<\\/", vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _text(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


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
