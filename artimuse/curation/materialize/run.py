"""`artimuse materialize`: the images of a selection, copied byte by byte in the layout that a trainer reads."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from rich.console import Console

from artimuse import __version__
from artimuse.configs.materialize import MaterializeConfig
from artimuse.curation.materialize.copying import Abandoned, Copying
from artimuse.curation.materialize.files import FileCopier, FileNames, refuse_links
from artimuse.curation.materialize.formats import FILE_FORMATS, FORMATS, SHARD_FORMATS
from artimuse.curation.materialize.formats.interface import Rows
from artimuse.curation.materialize.images import Places, Reader
from artimuse.curation.materialize.record import (
    MAX_FAILURES,
    RECORD_FILE,
    MaterializeRecord,
    refuse_foreign_files,
    refuse_other_settings,
    selection_digest,
)
from artimuse.curation.materialize.report import MaterializeReport
from artimuse.curation.materialize.shards import ShardCopier
from artimuse.curation.materialize.units import PARTS, Counts, Unit, equal_units, read_part, read_parts
from artimuse.curation.selection import Selection
from artimuse.errors import BadInput, BadOutput, Interrupted
from artimuse.io.folder import Folder
from artimuse.runs.lock import Lock, hold_lock
from artimuse.runs.progress import RunProgress
from artimuse.runs.record import now
from artimuse.runs.signals import StopRequest
from artimuse.runs.submitted import refuse_relative_paths

_NEEDS_CAPTION = ("kohya", "onetrainer")


def run(config: MaterializeConfig, console: Console) -> MaterializeReport:
    """Copies what DEST does not have yet.

    Raises BadInput, BadOutput, OutputLocked, RunMismatch; Interrupted when stopped, with everything finished in DEST.
    """
    refuse_relative_paths({"SELECTION": config.selection, "DEST": config.destination}, models={})
    selection = Selection.at(config.selection)
    refuse_other_kind(selection, config)
    refuse_caption(selection, config)
    output = Folder.at(config.destination)
    refuse_foreign_files(output)
    stop = StopRequest(config.grace_s, doing="finishing what is in flight")
    with stop.heeded(), hold_lock(output) as lock, TemporaryDirectory(prefix="artimuse-") as scratch:
        return _Run(config, selection, output, RunProgress(console), stop, lock, Path(scratch)).run()


class _Run:
    """One call of `artimuse materialize`. Its methods are its phases, in the order in which `run` has them."""

    rows: Rows
    units: list[Unit]
    pending: list[Unit]
    record: MaterializeRecord
    saved: MaterializeRecord | None
    """What an earlier run has left."""
    images_per_s = 0.0
    counts: Counts
    """Of the units that were done before."""

    def __init__(
        self,
        config: MaterializeConfig,
        selection: Selection,
        output: Folder,
        progress: RunProgress,
        stop: StopRequest,
        lock: Lock,
        scratch: Path,
    ) -> None:
        self.config = config
        self.selection = selection
        self.output = output
        self.progress = progress
        self.stop = stop
        self.lock = lock
        self.scratch = scratch
        self.layout = FORMATS[config.format]

    def run(self) -> MaterializeReport:
        with self.progress.phase("planning"):
            self._open()
            self._plan()
        if self.pending:
            self._copy()
        return self._finish()

    def _open(self) -> None:
        """Raises RunMismatch if DEST was made with other settings."""
        asked = self._fingerprint()
        self.saved = RECORD_FILE.read(self.output)
        if self.saved:
            refuse_other_settings(self.output, self.saved, asked)
        self.record = MaterializeRecord(
            artimuse=__version__,
            status="running",
            started_at=now(),
            selection=self.selection.location,
            fingerprint=asked,
            config=asdict(self.config),
        )

    def _fingerprint(self) -> Mapping[str, Any]:
        fields: dict[str, Any] = {"selection": selection_digest(self.selection), "format": self.config.format}
        fields |= {"caption": self.config.caption, "link": self.config.link}
        if self.config.format in SHARD_FORMATS:
            fields["shard_mb"] = self.config.shard_mb
        return fields

    def _plan(self) -> None:
        self.rows = self.layout.rows(self.selection, self.scratch)
        if not self.rows.num_rows:
            raise BadInput(f"{self.selection.location}: the selection is empty, so there is nothing to copy")
        shards = SHARD_FORMATS.get(self.config.format)
        self.units = shards.units(self.rows, self.config) if shards else equal_units(self.rows.num_rows)
        done = read_parts(self.output)
        if self.config.retry_failed:
            for number, (name, counts) in list(done.items()):
                if counts.num_failed:
                    self.output.remove(f"{PARTS}/{name}")
                    del done[number]
        self.counts = _total(done)
        self.pending = [unit for unit in self.units if unit.number not in done]

    def _copy(self) -> None:
        """Raises Interrupted after a stop, BadOutput if something is missing although the run has ended."""
        places = Places(self.selection)
        with closing(Reader(places, self.config.http_access)) as reader:
            copying = Copying(
                config=self.config,
                output=self.output,
                rows=self.rows,
                places=places,
                reader=reader,
                progress=self.progress,
                stop=self.stop,
                lock=self.lock,
                began_at=time.time(),
            )
            with suppress(Abandoned):
                self._work(copying)
        self.images_per_s = self.progress.rate
        num_done, num_rows = _total(read_parts(self.output)).num_entries, self.rows.num_rows
        if self.stop.is_set:
            RECORD_FILE.write(self.output, replace(self.record, status="interrupted", finished_at=now()))
            raise Interrupted(f"{num_done:,} of {num_rows:,} are done; the same command goes on from there")
        if num_done != num_rows:
            raise BadOutput(
                f"{self.output.url()}: {num_done:,} of {num_rows:,} are done although the run has ended: the selection"
                " is not whole, or something else has changed DEST"
            )

    def _work(self, copying: Copying) -> None:
        """Returns early after a stop, or raises Abandoned."""
        are_inside = {name: copying.places.are_inside_files(name) for name in self.selection.facts.tables}
        files, shards = FILE_FORMATS.get(self.config.format), SHARD_FORMATS.get(self.config.format)
        if self.config.link:
            if files is None:
                raise BadInput(f"--link: {self.config.format} has many images in one file; leave --link out")
            refuse_links(copying, files, self.units, are_inside)
        with ExitStack() as stack:
            names = None
            if files and files.naming:
                with self.progress.phase("naming"):
                    names = FileNames(self.rows, self.units, self.selection, files.naming, self.scratch)
                    stack.enter_context(closing(names))
            # Not earlier: until something is copied no setting is bound.
            RECORD_FILE.write(self.output, self.record)
            stack.enter_context(self.progress.phase("copying"))
            stack.enter_context(self.stop.draining())
            self.progress.expect(total=self.rows.num_rows, done=self.counts.num_entries, failed=self.counts.num_failed)
            if files:
                FileCopier(copying, files, names, looks_first=self.saved is not None).copy(self.pending)
            elif shards:
                ShardCopier(copying, shards, num_units=len(self.units)).copy(self.pending)

    def _finish(self) -> MaterializeReport:
        """Writes what is about all images, and the record; neither if an earlier run has done so."""
        if not self.pending and self.saved and self.saved.status == "finished" and self.saved.report:
            return self._report(self.saved.report["notes"], self.saved.report["errors"])
        with self.progress.phase("finishing"):
            notes = self.layout.finish(self.selection, self.output)
            errors, failed = self._failures()
        report = self._report(notes, errors)
        closed = replace(self.record, status="finished", finished_at=now(), report=report.as_dict(), failed=failed)
        RECORD_FILE.write(self.output, closed)
        return report

    def _failures(self) -> tuple[Mapping[str, int], tuple[Mapping[str, Any], ...]]:
        """The number of images by error code, and the first ones."""
        errors, first = Counter[str](), list[Mapping[str, Any]]()
        for _, (name, counts) in sorted(read_parts(self.output).items()):
            if counts.num_failed:
                rows = read_part(self.output, name)
                failed = rows.filter(rows["error_code"].is_valid())
                errors.update(failed["error_code"].to_pylist())
                first += failed.slice(0, MAX_FAILURES - len(first)).drop_columns("file").to_pylist()
        return dict(errors.most_common()), tuple(first)

    def _report(self, notes: Mapping[str, int], errors: Mapping[str, int]) -> MaterializeReport:
        counts = _total(read_parts(self.output))
        return MaterializeReport(
            output=self.output.url(),
            format=self.config.format,
            kind=self.layout.kind,
            has_pairs=len(self.layout.sides) > 1,
            num_entries=counts.num_entries,
            num_copied=counts.num_entries - counts.num_failed,
            num_failed=counts.num_failed,
            num_new=counts.num_entries - self.counts.num_entries,
            errors=errors,
            num_mapped=counts.num_mapped,
            num_without_caption=counts.num_bare,
            num_unread=counts.num_unread,
            notes=notes,
            images_per_s=round(self.images_per_s, 1),
            phase_s={name: round(seconds, 2) for name, seconds in self.progress.phase_s.items()},
            max_failed=self.config.max_failed,
        )


def _total(parts: Mapping[int, tuple[str, Counts]]) -> Counts:
    return sum((counts for _, counts in parts.values()), Counts())


def refuse_other_kind(selection: Selection, config: MaterializeConfig) -> None:
    """Raises BadInput for a format of pairs on selected images, and the other way round."""
    found, wanted = selection.facts.kind, FORMATS[config.format].kind
    if found == wanted:
        return
    fitting = ", ".join(name for name, layout in FORMATS.items() if layout.kind == found)
    what, other = ("pairs", "images") if found == "pairs" else ("images", "pairs")
    advice = " `artimuse select --pairs COLUMN` makes pairs." if wanted == "pairs" else ""
    raise BadInput(
        f"{selection.location} is a selection of {what}, and --format {config.format} is for {other}. The formats of"
        f" {what} are {fitting}.{advice}"
    )


def refuse_caption(selection: Selection, config: MaterializeConfig) -> None:
    """Raises BadInput if --caption is missing, names no column, or says nothing to the format."""
    layout = FORMATS[config.format]
    names = [field.name for field in selection.schema if is_text(field.type)]
    columns = f"The columns with texts are {', '.join(names)}"
    if config.caption is None:
        if config.format in _NEEDS_CAPTION:
            raise BadInput(
                f"--format {config.format} needs --caption COLUMN, what is written beside the images. {columns}"
            )
    elif not layout.takes_caption:
        others = ", ".join(name for name, other in FORMATS.items() if other.takes_caption)
        raise BadInput(f"--caption {config.caption}: --format {config.format} has no captions; those with are {others}")
    elif config.caption not in selection.schema.names:
        raise BadInput(f"--caption {config.caption}: {selection.location} has no such column. {columns}")


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
