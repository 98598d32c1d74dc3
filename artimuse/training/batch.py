"""Micro-batches: examples with their pictures as the network takes them, decoded ahead of the device."""

# B examples, I images, S tokens, H and W pixels, C = 3 channels
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from artimuse.decode_limits import DecodeLimits
from artimuse.errors import RowError, StorageProblem
from artimuse.images import IMAGE_SIZE_PX, decode
from artimuse.interfaces import PixelArray
from artimuse.sources.ahead import map_ahead
from artimuse.sources.fetch import fetch
from artimuse.sources.location import Location
from artimuse.training.examples import Example

IGNORED = -100
"""Label of a token that the loss is not on."""
PADDING_ID = 0
# What storage says today and not tomorrow: to leave such images out would make another run of it.
_MAY_PASS = frozenset({"io_error", "access_denied", "timeout"})
# A picture that is not there, or of a piece without examples; it is never part of the loss.
_GREY = np.full((IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), 128, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class BadImage:
    """An example that is left out."""

    image_id: str
    uri: str
    error: RowError


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes through the network at a time."""

    token_ids_BS: torch.Tensor
    labels_BS: torch.Tensor
    """Token ids of the answers, `IGNORED` elsewhere."""
    mask_BS: torch.Tensor | None
    """1 for tokens, 0 for padding, which is on the right; None if there is none."""
    pixels_IHWC: torch.Tensor
    """uint8; each image once, however many examples are about it."""
    images_B: torch.Tensor
    """Which of the images an example is about."""
    examples: tuple[Example, ...]
    """Those with a picture, whose answers have labels."""
    bad: tuple[BadImage, ...]

    @property
    def num_answer_tokens(self) -> int:
        return sum(len(example.answer_ids) for example in self.examples)

    def to(self, device: torch.device) -> "Batch":
        return replace(
            self,
            token_ids_BS=self.token_ids_BS.to(device, non_blocking=True),
            labels_BS=self.labels_BS.to(device, non_blocking=True),
            mask_BS=None if self.mask_BS is None else self.mask_BS.to(device, non_blocking=True),
            pixels_IHWC=self.pixels_IHWC.to(device, non_blocking=True),
            images_B=self.images_B.to(device, non_blocking=True),
        )


class BatchMaker:
    """Reads and decodes the pictures of examples and lays their tokens side by side."""

    def __init__(
        self, prompt_ids: Callable[[str], Sequence[int]], limits: DecodeLimits, *, ahead: int = 8, num_threads: int = 2
    ) -> None:
        """`prompt_ids` are the tokens of the whole prompt of a question; `ahead` counts micro-batches."""
        self.prompt_ids = prompt_ids
        self.limits = limits
        self.ahead = ahead
        self.num_threads = num_threads

    def batches(self, pieces: Iterable[Sequence[Example]]) -> Iterator[Batch]:
        """In the order of the pieces, decoded ahead. An empty piece gives a batch without loss.

        Raises StorageProblem if a picture may be there but cannot be had now.
        """
        # Pillow decodes without Python's lock.
        with ThreadPoolExecutor(self.num_threads, "decode") as threads:
            yield from map_ahead(self.batch, pieces, threads=threads, ahead=self.ahead)

    def batch(self, examples: Sequence[Example]) -> Batch:
        by_uri = {uri: self._picture(uri) for uri in dict.fromkeys(example.uri for example in examples)}
        pictures = [by_uri[example.uri] for example in examples]
        bad = tuple(
            BadImage(example.image_id, example.uri, picture)
            for example, picture in zip(examples, pictures)
            if isinstance(picture, RowError)
        )
        # Without any example the network still has to run: the other workers wait for its gradients.
        rows = [([*self.prompt_ids(e.question), *e.answer_ids], len(e.answer_ids)) for e in examples]
        rows = rows or [([*self.prompt_ids("")], 0)]
        width = max(len(token_ids) for token_ids, _ in rows)
        token_ids_BS = torch.full((len(rows), width), PADDING_ID)
        labels_BS = torch.full((len(rows), width), IGNORED)
        mask_BS = torch.zeros((len(rows), width), dtype=torch.long)
        for i, (token_ids, num_answer) in enumerate(rows):
            end = len(token_ids)
            token_ids_BS[i, :end] = torch.tensor(token_ids)
            mask_BS[i, :end] = 1
            if examples and not isinstance(pictures[i], RowError):
                labels_BS[i, end - num_answer : end] = token_ids_BS[i, end - num_answer : end]
        pixels = [_GREY if isinstance(picture, RowError) else picture for picture in by_uri.values()] or [_GREY]
        places = {uri: place for place, uri in enumerate(by_uri)}
        return Batch(
            token_ids_BS,
            labels_BS,
            None if bool(mask_BS.all()) else mask_BS,
            torch.from_numpy(np.stack(pixels)),
            torch.tensor([places[example.uri] for example in examples] or [0]),
            tuple(e for e, picture in zip(examples, pictures) if not isinstance(picture, RowError)),
            bad,
        )

    def _picture(self, uri: str) -> PixelArray | RowError:
        data = fetch(Location(uri), self.limits)
        if isinstance(data, RowError):
            if data.code in _MAY_PASS:
                raise StorageProblem(f"{uri}: {data.message} ({data.code})")
            return data
        image = decode(data, self.limits)
        return image if isinstance(image, RowError) else image.pixels_HWC
