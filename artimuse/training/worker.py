"""What each worker of a run does: from the last checkpoint on, step by step, to the end."""

import hashlib
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch

from artimuse.configs.train import TrainConfig
from artimuse.engines.answers import candidate_ids
from artimuse.engines.network import resolve_dtype
from artimuse.errors import BadInput, TrainingDiverged
from artimuse.interfaces import Tokenizer
from artimuse.scoring import STRATEGIES
from artimuse.training.bad_images import MOST_NAMED, named
from artimuse.training.checkpoint import Checkpoints, Saved, TrainState, load_optimizer, load_weights
from artimuse.training.data.collate import BadImage, Batch, BatchMaker
from artimuse.training.data.examples import TRAIN_EXAMPLES, VALIDATION_EXAMPLES, Example, Examples
from artimuse.training.data.sampler import Sampler, micro_batches
from artimuse.training.job import TrainJob
from artimuse.training.network import TrainedNetwork, read_base
from artimuse.training.schedule import learning_rate
from artimuse.training.sharding import micro_steps, prepare_deepspeed, shard
from artimuse.training.tracking import open_tracker
from artimuse.training.validation import Validator, is_due
from artimuse.training.worker_group import WorkerGroup

UPDATE_INTERVAL_S = 1.0


def limit_threads(config: TrainConfig) -> None:
    """Limits torch to the CPUs that a worker has been given. In a shared process the number is not ours to choose."""
    if config.device == "cpu":
        torch.set_num_threads(max(1, int(config.cpus_per_worker)))


class Worker:
    """One of the workers of a run."""

    def __init__(self, job: TrainJob, stack: ExitStack) -> None:
        self.job = job
        self.config = config = job.config
        self.device = torch.device("cuda" if config.device == "cuda" else "cpu")
        prepare_deepspeed("cuda" if config.device == "cuda" else "cpu")
        self.group = WorkerGroup(job.reporter, self.device)
        self.group.tell(phase="loading the model", world_size=self.group.size)
        self.dtype = resolve_dtype(config.dtype, self.device)
        self.checkpoints = Checkpoints(job.output)
        self.spec = read_base(config)
        self.tokenizer = cast(Tokenizer, self.spec.tokenizer)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="artimuse-")))
        self.examples = Examples(job.output.local_copy(TRAIN_EXAMPLES, directory))
        prompt_ids = cache(self._prompt_ids)
        self.sampler = Sampler(
            self.examples.lengths(prompt_ids),
            config.batch_size,
            config.epochs,
            config.seed,
            starts_G=self.examples.group_starts(config.questions_together),
        )
        self.maker = BatchMaker(
            prompt_ids,
            config.limits,
            # The pictures of the next step are decoded while this one is computed.
            ahead=2 * micro_steps(config, self.group.size),
            num_threads=max(2, math.ceil(config.cpus_per_worker)),
        )
        self.validator = self._validator(directory)
        # One worker looks: another might see a checkpoint more, or one fewer.
        last = self.group.broadcast((self.checkpoints.steps() or [0])[-1])
        saved = self.checkpoints.read(last) if last else None
        self.state = saved.state if saved else TrainState(step=0)
        self.network = TrainedNetwork(self.spec, config, dtype=self.dtype, device=self.device)
        self.engine = self._sharded(saved)
        self.tracker = stack.enter_context(
            open_tracker(config, job.output, first_step=self.state.step, is_active=self.group.is_first)
        )
        self._told_at = self._saved_at = time.monotonic()
        self._wants_stop = False

    def run(self) -> None:
        """Raises TrainingDiverged and BadInput, on all workers alike."""
        first, num_steps = self.state.step, self.sampler.num_steps
        self.group.tell(phase="training", step=first, num_steps=num_steps)
        self._tell_bad_images()
        loaded = self._loaded(first)
        for step in range(first, num_steps):
            self._step(step, loaded)
            is_time, must_stop = self._agree()
            is_last = step + 1 == num_steps
            is_checkpoint = is_time or is_last or (step + 1) % self.config.checkpoint_steps == 0
            if is_checkpoint or is_due(step + 1, num_steps, self.config.eval_steps):
                self._validate()
            if is_checkpoint or must_stop:
                self._save()
            if must_stop and not is_last:
                self.group.tell(is_stopped=True)
                return

    def _step(self, step: int, loaded: Iterator[list[Batch]]) -> None:
        began_at = time.monotonic()
        rate = learning_rate(
            step, self.sampler.num_steps, highest=self.config.learning_rate, warmup_ratio=self.config.warmup_ratio
        )
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate * group["relative_rate"]
        batches = next(loaded)
        waited_s = self.group.all_max(time.monotonic() - began_at)
        num_tokens, num_samples = self.group.all_sum(
            sum(batch.num_answer_tokens for batch in batches), sum(len(batch.examples) for batch in batches)
        )
        self._note([image for batch in batches for image in batch.bad])
        if not num_samples:
            raise BadInput(f"no image of step {step + 1} can be decoded: {self._names(step)}")
        # DeepSpeed takes the mean over micro-batches and workers; the loss is the mean over the step's tokens.
        scale = micro_steps(self.config, self.group.size) * self.group.size / max(1, num_tokens)
        loss_sum = torch.zeros((), device=self.device)
        for i, batch in enumerate(batches):
            # Dropout depends on the piece of the step, not on who works on it.
            torch.manual_seed(_seed(self.config.seed, step, self.group.rank + i * self.group.size))
            self.engine.set_gradient_accumulation_boundary(i == len(batches) - 1)
            loss, _ = self.engine(batch.to(self.device))
            self.engine.backward(loss * scale)
            loss_sum += loss.detach()
        [loss_of_all] = self.group.all_sum(loss_sum.item())
        if not torch.isfinite(torch.tensor(loss_of_all)):
            raise self._diverged(step, "the loss")
        self.engine.step()
        grad_norm = float(self.engine.get_global_grad_norm() or 0.0)
        if not torch.isfinite(torch.tensor(grad_norm)):
            raise self._diverged(step, "the norm of the gradients")
        seconds = time.monotonic() - began_at
        self._remember(
            {
                "step": step + 1,
                "loss": loss_of_all / max(1, num_tokens),
                "learning_rate": rate,
                "grad_norm": grad_norm,
                "num_samples": int(num_samples),
                "num_answer_tokens": int(num_tokens),
                "examples": _digest(self.sampler.examples(step).tobytes()),
                "seconds": round(seconds, 4),
                "waiting_share": round(waited_s / seconds, 4),
            }
        )

    def _loaded(self, first: int) -> Iterator[list[Batch]]:
        """This worker's micro-batches of each step from `first` on."""

        def pieces() -> Iterator[list[Example]]:
            for step in range(first, self.sampler.num_steps):
                for piece in self._pieces(step):
                    yield [self.examples[int(number)] for number in piece]

        batches = iter(self.maker.batches(pieces()))
        for step in range(first, self.sampler.num_steps):
            yield [next(batches) for _ in self._pieces(step)]

    def _pieces(self, step: int) -> list[Any]:
        return micro_batches(
            self.sampler.examples(step), self.config.micro_batch_size, rank=self.group.rank, world_size=self.group.size
        )

    def _note(self, own: list[BadImage]) -> None:
        """Raises BadInput if the run is to stop at the first bad images."""
        [num_bad] = self.group.all_sum(len(own))
        if not num_bad:
            return
        bad = self.group.all_gather(own)
        errors = {image.image_id: f"{image.error.code}: {image.error.message}" for image in bad}
        if self.config.bad_images == "stop":
            raise BadInput(
                f"{len(errors)} images cannot be decoded: {named(errors)}; --bad-images skip leaves such images out"
            )
        if errors.keys() - self.state.bad_images.keys():
            self.state.bad_images.update(errors)
            self._tell_bad_images()

    def _tell_bad_images(self) -> None:
        bad = self.state.bad_images
        if bad:
            self.group.tell(num_bad_images=len(bad), bad_images=dict(list(bad.items())[:MOST_NAMED]))

    def _agree(self) -> tuple[bool, bool]:
        """Whether all workers are to save now, because it is time, and to stop, because the driver wants it."""
        since_s = time.monotonic() - self._saved_at
        is_time = self.group.is_first and since_s >= 60 * self.config.checkpoint_minutes
        must_save, must_stop = self.group.all_sum(is_time, self._wants_stop)
        return bool(must_save), bool(must_stop)

    def _validate(self) -> None:
        if self.validator is None:
            return
        self.group.tell(phase="validating", step=self.state.step, record=self.state.history[-1])
        self.network.train(False)
        result, bad = self.validator.validate(lambda batch: self.engine(batch.to(self.device)), self.group)
        self.network.train(True)
        self._note(bad if self.group.is_first else [])
        record = {"step": self.state.step, **result}
        self.state.validations.append(record)
        self.tracker.validation(record)
        self.group.tell(phase="training", validation=record)

    def _save(self) -> None:
        self.group.tell(phase="saving", step=self.state.step, record=self.state.history[-1])
        self.checkpoints.save(self.engine, self.network, self.state, self.group)
        if self.group.is_first:
            self.checkpoints.prune(self.config.keep_checkpoints)
        self._saved_at = time.monotonic()
        self.group.tell(phase="training")

    def _remember(self, record: dict[str, Any]) -> None:
        self.state = replace(self.state, step=record["step"])
        self.state.history.append(record)
        self.tracker.step(record)
        if time.monotonic() - self._told_at >= UPDATE_INTERVAL_S:
            self._told_at = time.monotonic()
            self._wants_stop = self.group.tell(step=record["step"], record=record)

    def _sharded(self, saved: Saved | None) -> Any:
        if saved is None:
            return shard(self.network, self.config, world_size=self.group.size, dtype=self.dtype)
        with self.checkpoints.tensors(saved) as tensors:
            load_weights(self.network, tensors)
            engine = shard(self.network, self.config, world_size=self.group.size, dtype=self.dtype)
            nothing = self.maker.batch([]).to(self.device)
            load_optimizer(engine, self.network, tensors, step=saved.state.step, nothing=nothing)
        return engine

    def _validator(self, directory: Path) -> Validator | None:
        if not self.job.has_validation:
            return None
        strategy = STRATEGIES[self.config.strategy]
        return Validator(
            Examples(self.job.output.local_copy(VALIDATION_EXAMPLES, directory)),
            self.maker,
            strategy,
            candidate_ids(self.tokenizer, strategy.candidates),
            most=self.config.validation_images,
            micro_batch_size=self.config.micro_batch_size,
        )

    def _prompt_ids(self, question: str) -> list[int]:
        return self.spec.template.token_ids(self.tokenizer, question)

    def _diverged(self, step: int, what: str) -> TrainingDiverged:
        steps = self.checkpoints.steps()
        last = f"the last good checkpoint is of step {steps[-1]}" if steps else "there is no checkpoint yet"
        return TrainingDiverged(
            f"{what} is not a number in step {step + 1}; its images are {self._names(step)}; {last}."
            " A lower --learning-rate in a new OUTPUT, or other data, may help"
        )

    def _names(self, step: int) -> str:
        return ", ".join(self.examples[int(number)].image_id for number in self.sampler.examples(step))


def _seed(seed: int, step: int, piece: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {step} {piece}".encode()).digest()[:8], "big") >> 1


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
