"""Stored tensors from their files onto a device: no memory map, and for a GPU through small buffers of pinned memory.

A map hands a file over page by page, and a GPU takes what is not pinned at a fraction of its speed.
"""

# N bytes
import threading
from io import FileIO
from itertools import cycle

import torch
from torch.cuda import Event

from artimuse.errors import BadCheckpoint
from artimuse.model.shards import StoredTensor

TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
"""The types that weights may be stored in, as safetensors names them."""

_BUFFER_BYTES = 2**24
# One is filled while the other is on its way.
_NUM_BUFFERS = 2


class TensorReader:
    """Reads onto one device, from any number of threads."""

    def __init__(self, device: torch.device | str) -> None:
        # With its index: in a thread of its own, plain `cuda` would be the first GPU.
        self.device = torch.empty(0, device=device).device
        self._of_thread = threading.local()

    def __call__(self, tensor: StoredTensor) -> torch.Tensor:
        """The tensor as stored, in memory of its own. Raises BadCheckpoint if the file cannot be read that far."""
        bytes_N = torch.empty(tensor.num_bytes, dtype=torch.uint8, device=self.device)
        try:
            with tensor.path.open("rb", buffering=0) as file:
                file.seek(tensor.offset)
                if self.device.type == "cuda":
                    self._fill_on_gpu(bytes_N, file)
                else:
                    _fill(bytes_N, file)
        except OSError as error:
            raise BadCheckpoint(f"{tensor.path}: cannot be read ({error})") from error
        return bytes_N.view(TYPES[tensor.dtype]).view(tensor.shape)

    def _fill_on_gpu(self, bytes_N: torch.Tensor, file: FileIO) -> None:
        """All threads copy on one stream, so whoever uses the tensor there finds it whole."""
        with torch.cuda.device(self.device):
            for start, (buffer_N, copied) in zip(range(0, len(bytes_N), _BUFFER_BYTES), cycle(self._buffers())):
                part_N = bytes_N[start : start + _BUFFER_BYTES]
                copied.synchronize()
                _fill(buffer_N[: len(part_N)], file)
                part_N.copy_(buffer_N[: len(part_N)], non_blocking=True)
                copied.record()

    def _buffers(self) -> list[tuple[torch.Tensor, Event]]:
        """Each with the event that its last bytes have been taken."""
        if not hasattr(self._of_thread, "buffers"):
            self._of_thread.buffers = [
                # PyTorch has no types for what makes an event (2.13).
                (torch.empty(_BUFFER_BYTES, dtype=torch.uint8, pin_memory=True), Event())  # type: ignore[no-untyped-call]
                for _ in range(_NUM_BUFFERS)
            ]
        buffers: list[tuple[torch.Tensor, Event]] = self._of_thread.buffers
        return buffers


def _fill(bytes_N: torch.Tensor, file: FileIO) -> None:
    """Raises OSError if the file ends before."""
    left = bytes_N.numpy().data
    while len(left):
        num_read = file.readinto(left)
        if not num_read:
            raise OSError(f"it ends {len(left)} bytes early")
        left = left[num_read:]
