"""The parts of the network that a stage may train, as the command line names them."""

from typing import Literal, get_args

from tyro.constructors import PrimitiveConstructorSpec

Part = Literal["vision", "projector", "language"]
PARTS: tuple[Part, ...] = get_args(Part)


def parts_named(text: str) -> tuple[str, ...]:
    """The parts in the order of the network. Names that are none are left to `TrainConfig`, which refuses them."""
    names = [name.strip() for name in text.split(",")]
    return tuple(part for part in PARTS if part in names) if set(names) <= set(PARTS) else tuple(names)


SEPARATED_BY_COMMAS: PrimitiveConstructorSpec[tuple[str, ...]] = PrimitiveConstructorSpec(
    nargs=1,
    metavar=",".join(PARTS),
    instance_from_str=lambda arguments: parts_named(arguments[0]),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda parts: [",".join(parts)],
)
