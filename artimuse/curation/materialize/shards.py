"""Copying images to tars and Parquet files: a file appears when it is whole, and is made again if it is not."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing

from artimuse.curation.materialize.copying import Copying
from artimuse.curation.materialize.formats.interface import ShardFormat, ShardWriter
from artimuse.curation.materialize.formats.texts import caption_of
from artimuse.curation.materialize.images import Entry, Failure, failures
from artimuse.curation.materialize.units import Counts, Outcome, Unit, write_part


class ShardCopier:
    """Copies each unit to a file of its own; the last one is uploaded while the next one is being read."""

    def __init__(self, copying: Copying, layout: ShardFormat, *, num_units: int) -> None:
        self.copying = copying
        self.layout = layout
        self.num_units = num_units
        self._last: Future[None] | None = None

    def copy(self, units: Sequence[Unit]) -> None:
        """Raises Abandoned after a stop, and what the storage of DEST says."""
        shards = self.copying.entries(self.layout, units)
        begun: list[Unit] = []

        def entries() -> Iterator[Entry]:
            for unit, found in shards:
                begun.append(unit)
                yield from found

        with (
            ThreadPoolExecutor(1, "upload") as thread,
            closing(self.copying.reader(entries(), _read)) as results,
        ):
            shard: _Shard | None = None
            try:
                for entry, data in results:
                    if shard is None:
                        shard = _Shard(self, begun.pop(0))
                    shard.add(entry, data)
                    self.copying.heed()
                    if entry.number == shard.unit.end - 1:
                        self._wait()
                        self._last, shard = thread.submit(shard.close), None
                self._wait()
            except BaseException:
                if shard:
                    shard.abandon()
                raise

    def _wait(self) -> None:
        """For the file before, whose failure is raised."""
        if self._last:
            self._last.result()


class _Shard:
    """One file that is being written."""

    def __init__(self, copier: ShardCopier, unit: Unit) -> None:
        self.copying = copier.copying
        self.unit = unit
        self.file = copier.layout.file(unit, copier.num_units)
        self.takes_caption = copier.layout.takes_caption and self.copying.config.caption is not None
        self._outcomes: list[Outcome] = []
        self._counts = Counts()
        self._open = ExitStack()
        path = self._open.enter_context(self.copying.output.writing(self.file))
        self._writer: ShardWriter = self._open.enter_context(copier.layout.writer(path, unit, self.copying.config))

    def add(self, entry: Entry, data: list[bytes | Failure]) -> None:
        if reasons := failures(data):
            self._outcomes += [
                Outcome(entry.number, image, None, reason) for image, reason in zip(entry.images, reasons) if reason
            ]
            one = Counts(1, num_failed=1)
        else:
            inside = self._writer.add(entry, [found for found in data if isinstance(found, bytes)])
            self._outcomes += [
                Outcome(entry.number, image, f"{self.file}#{name}") for image, name in zip(entry.images, inside)
            ]
            is_bare = self.takes_caption and not caption_of(entry.row.get(self.copying.config.caption or ""))
            one = Counts(1, num_bare=is_bare)
        self._counts += one
        self.copying.advance(one)

    def close(self) -> None:
        """The file appears, and is done. Raises what the storage of DEST says."""
        self._open.close()
        write_part(self.copying.output, self.unit, self._outcomes, self._counts)

    def abandon(self) -> None:
        """Nothing appears."""
        error = KeyboardInterrupt()
        self._open.__exit__(KeyboardInterrupt, error, None)


def _read(_: Entry, read: Callable[[], list[bytes | Failure]]) -> list[bytes | Failure]:
    return read()
