"""Micro-batches: examples with their pictures as the network takes them, decoded ahead of the device."""

# R packed sequences, I images, S tokens, H and W pixels, C = 3 channels
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
import torch

from artimuse.configs.limits import DecodeLimits
from artimuse.errors import RowError, StorageProblem
from artimuse.images.decode import IMAGE_SIZE_PX, decode
from artimuse.interfaces import PixelArray
from artimuse.io.fetch import fetch
from artimuse.io.location import Location
from artimuse.io.prefetch import prefetch
from artimuse.training.data.examples import Example
from artimuse.training.data.packing import IGNORED, PackedBatch, PackedSequence, pack, stack

# Errors that may pass. Leaving such images out would make the run depend on the state of the storage.
_MAY_PASS = frozenset({"io_error", "access_denied"})
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

    packed: PackedBatch
    """Neighbours about the same image share a sequence."""
    pixels_IHWC: torch.Tensor
    """uint8; each image once, however many sequences are about it."""
    images_R: torch.Tensor
    """Which of the images a sequence is about."""
    examples: tuple[Example, ...]
    """The examples that have a picture; their answers have labels."""
    bad: tuple[BadImage, ...]

    @property
    def num_answer_tokens(self) -> int:
        return sum(len(example.answer_ids) for example in self.examples)

    def to(self, device: torch.device) -> "Batch":
        return replace(
            self,
            packed=self.packed.to(device),
            pixels_IHWC=self.pixels_IHWC.to(device),
            images_R=self.images_R.to(device),
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
        """One batch for each piece, in their order, decoded ahead. An empty piece gives a batch without loss.

        Raises StorageProblem if a picture may be there but cannot be had now.
        """
        # Pillow decodes without Python's lock. All threads decode for the batch that is needed next.
        with ThreadPoolExecutor(self.num_threads, "decode") as decoders, ThreadPoolExecutor(2, "batch") as batchers:
            yield from prefetch(partial(self.batch, decoders=decoders), pieces, threads=batchers, ahead=self.ahead)

    def batch(self, examples: Sequence[Example], *, decoders: Executor | None = None) -> Batch:
        uris = list(dict.fromkeys(example.uri for example in examples))
        by_uri = dict(zip(uris, (decoders.map if decoders else map)(self._picture, uris)))
        pictures = [by_uri[example.uri] for example in examples]
        bad = tuple(
            BadImage(example.image_id, example.uri, picture)
            for example, picture in zip(examples, pictures)
            if isinstance(picture, RowError)
        )
        # Without any example the network still has to run: the other workers wait for its gradients.
        sequences = [self._pack(list(group), by_uri) for _, group in groupby(examples, key=lambda example: example.uri)]
        sequences = sequences or [pack([self.prompt_ids("")], [()])]
        pixels = [_GREY if isinstance(picture, RowError) else picture for picture in by_uri.values()] or [_GREY]
        index_of = {uri: index for index, uri in enumerate(by_uri)}
        return Batch(
            stack(sequences),
            torch.from_numpy(np.stack(pixels)),
            torch.tensor([index_of[uri] for uri, _ in groupby(example.uri for example in examples)] or [0]),
            tuple(e for e, picture in zip(examples, pictures) if not isinstance(picture, RowError)),
            bad,
        )

    def _pack(self, examples: Sequence[Example], by_uri: Mapping[str, PixelArray | RowError]) -> PackedSequence:
        sequence = pack([self.prompt_ids(e.question) for e in examples], [e.answer_ids for e in examples])
        has_picture = not isinstance(by_uri[examples[0].uri], RowError)
        return sequence if has_picture else replace(sequence, labels=[IGNORED] * len(sequence.labels))

    def _picture(self, uri: str) -> PixelArray | RowError:
        data = fetch(Location(uri), self.limits)
        if isinstance(data, RowError):
            if data.code in _MAY_PASS:
                raise StorageProblem(f"{uri}: {data.message} ({data.code})")
            return data
        image = decode(data, self.limits)
        return image if isinstance(image, RowError) else image.pixels_HWC
