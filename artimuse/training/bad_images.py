"""Images that cannot be had: how a person is told of them, at once and in the end."""

import logging
from collections.abc import Mapping

logger = logging.getLogger(__name__)

MOST_NAMED = 5


def named(errors: Mapping[str, str], number: int | None = None) -> str:
    """The first few ids with what is wrong; `number` is how many there are, if `errors` are not all of them."""
    shown = [f"{image_id} ({error})" for image_id, error in list(errors.items())[:MOST_NAMED]]
    num_more = (len(errors) if number is None else number) - len(shown)
    return ", ".join(shown) + (f" and {num_more:,} more" if num_more else "")


def warn_of_left_out(errors: Mapping[str, str], number: int) -> None:
    logger.warning(
        "images that cannot be read and are left out: %s: %s; --bad-images stop would stop at them",
        f"{number:,}",
        named(errors, number),
    )
