"""What comes from data, as text of a bounded length that is safe to show. Escaping it for HTML is `render.py`'s."""

from artimuse.runs.terminal import without_controls

MAX_CHARS = 1200
"""Of a text that the model wrote, or a prompt."""
MAX_NAME_CHARS = 200


def shown(value: object, max_chars: int = MAX_CHARS) -> str:
    r"""The value as text, control characters as `\x1b`; a longer one is cut, and says how long it was."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    # Cut first: a control character takes up to six.
    begin = without_controls(text[:max_chars])[:max_chars]
    return begin if len(text) <= max_chars else f"{begin} … ({len(text):,} characters)"


def name_of(image_id: str) -> str:
    return shown(image_id, MAX_NAME_CHARS)
