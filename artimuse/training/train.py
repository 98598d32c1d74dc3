"""`artimuse train`: from an annotation table to an exported model, as a run that can be killed and started again."""

import logging
from dataclasses import replace

import numpy as np
from rich.console import Console

from artimuse.configs.train import TrainConfig
from artimuse.errors import Interrupted
from artimuse.io.folder import Folder
from artimuse.model.digest import weights_digest
from artimuse.model.find import find_checkpoint
from artimuse.runs.lock import Lock, hold_lock
from artimuse.runs.signals import StopRequest
from artimuse.runs.submitted import refuse_relative_paths
from artimuse.training.backend import EXPORT_FOLDER, Control, TrainBackend
from artimuse.training.checkpoint import Checkpoints
from artimuse.training.data.plan import ExampleCounts, write_plan
from artimuse.training.network import read_base
from artimuse.training.record import TRAIN_FILE, TrainRecord, new_record, read_record, refuse_other_settings
from artimuse.training.report import TrainReport
from artimuse.training.status import Status

logger = logging.getLogger(__name__)

GRACE_S = 600.0
"""After SIGTERM or Ctrl-C, seconds for the step in flight and its checkpoint."""


def run(config: TrainConfig, console: Console) -> TrainReport:
    """Trains what OUTPUT does not have yet, and exports it.

    Raises BadInput, BadCheckpoint, BadOutput, OutputLocked, RunMismatch, ClusterProblem, StorageProblem,
    TrainingDiverged and TrainingFailed; Interrupted when stopped, with a checkpoint of the last step on disk.
    """
    tables = {f"annotation table {number}": table for number, table in enumerate(config.tables, 1)}
    refuse_relative_paths({**tables, "OUTPUT": config.output}, models={"--base": config.base})
    output = Folder.at(config.output)
    stop = StopRequest(GRACE_S, doing="finishing the step and saving a checkpoint")
    with stop.heeded(), hold_lock(output) as lock:
        return TrainRun(config, output, stop, lock, console).run()


class TrainRun:
    """One call of `artimuse train`. Its methods are its phases, in the order in which `run` has them."""

    record: TrainRecord

    def __init__(self, config: TrainConfig, output: Folder, stop: StopRequest, lock: Lock, console: Console) -> None:
        self.config = config
        self.output = output
        self.control = Control(stop=stop, lock=lock, console=console)
        self.status = Status()
        """What the workers of this run have said; as it is here if there was nothing left to train."""
        self.backend = _backend(config)
        self.checkpoints = Checkpoints(output)

    def run(self) -> TrainReport:
        saved = read_record(self.output)
        # What is wrong with the table is said before Ray starts.
        counts = None if saved else self._plan()
        self._connect()
        self._open(saved, counts)
        num_before = (self.checkpoints.steps() or [0])[-1]
        if self.record.status == "finished":
            logger.info("%s is finished: nothing is left to train", self.output.url())
        else:
            self._train(num_before)
            self._export()
        return self._report(num_before)

    def _plan(self) -> ExampleCounts:
        """Writes the examples into OUTPUT."""
        logger.info("planning")
        return write_plan(self.config, read_base(self.config), self.output)

    def _connect(self) -> None:
        """Connects; from then on nothing in the configuration depends on the machine that it runs on."""
        resolved = self.backend.open(self.config)
        self.control.stop.heed()  # Ray has taken the signals for itself
        self.config = replace(resolved, base=find_checkpoint(self.config.base).name)

    def _open(self, saved: TrainRecord | None, counts: ExampleCounts | None) -> None:
        """The record of OUTPUT: the one that is there, or a new one of these examples."""
        digest = weights_digest(find_checkpoint(self.config.base).directory)
        if saved:
            refuse_other_settings(self.output, saved, self.config, digest)
            self.record = saved
            return
        assert counts is not None
        self.record = new_record(self.config, digest, counts)
        TRAIN_FILE.write(self.output, self.record)

    def _train(self, num_before: int) -> None:
        if num_before:
            logger.info("going on from the checkpoint of step %d", num_before)
        has_validation = self.record.num_validation_examples > 0
        self.status = self.backend.fit(self.config, self.output, has_validation=has_validation, control=self.control)
        if self.status.is_stopped:
            how_far = f"{self.status.step} of {self.status.num_steps} steps are done"
            raise Interrupted(f"{how_far}; the same command goes on from there")
        self.control.lock.check()

    def _export(self) -> None:
        model = self.output / EXPORT_FOLDER
        logger.info("exporting to %s", model.url())
        for name in model.names():
            model.remove(name)  # of an export that was cut short: the run is not finished
        step = self.backend.export(self.output, self.config.device)
        self.record = replace(self.record, status="finished", exported_step=step)
        TRAIN_FILE.write(self.output, self.record)

    def _report(self, num_before: int) -> TrainReport:
        assert self.record.exported_step is not None
        state = self.checkpoints.read(self.checkpoints.steps()[-1]).state
        new = [entry for entry in state.history if entry["step"] > num_before]
        seconds = sum(entry["seconds"] for entry in new)
        last = state.history[-max(1, len(state.history) // 10) :]
        validations = {entry["step"]: entry for entry in state.validations}
        new_validations = [entry for entry in state.validations if entry["step"] > num_before]
        validating_s = sum(entry["seconds"] for entry in new_validations)
        waiting_s = sum(entry["waiting_share"] * entry["seconds"] for entry in new)
        return TrainReport(
            output=self.output.url(),
            preset=self.config.preset,
            base=self.config.base,
            num_examples=self.record.num_examples,
            num_images=self.record.num_images,
            num_steps=state.step,
            num_new_steps=len(new),
            num_workers=self.status.world_size,
            loss=float(np.mean([entry["loss"] for entry in last])),
            validation=validations.get(self.record.exported_step),
            num_validations=len(new_validations),
            validation_share=validating_s / (seconds + validating_s) if seconds else 0.0,
            samples_per_s=sum(entry["num_samples"] for entry in new) / seconds if seconds else 0.0,
            waiting_share=waiting_s / seconds if seconds else 0.0,
            bad_images=state.bad_images,
            checkpoint=self.record.exported_step,
            model=self.output.url(EXPORT_FOLDER),
        )


def _backend(config: TrainConfig) -> TrainBackend:
    if config.is_in_process:
        from artimuse.training.in_process import InProcess

        return InProcess()
    from artimuse.training.on_ray import OnRay

    return OnRay()
