"""The engine on vLLM, which answers all questions about all images in one call.

What it runs is `vllm_network.py`; here are questions and answers. vLLM knows an image by a digest of its pixels, so it
encodes each one once, and computes what the prompts of an image share once, also across calls.
"""

# B images, H and W pixels, C = 3 channels, K candidate tokens
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import numpy as np

from artimuse.configs.engine import EngineConfig
from artimuse.engines.answers import AnswerReader, candidate_ids
from artimuse.engines.network import resolve_device, resolve_dtype
from artimuse.errors import EngineFailed
from artimuse.interfaces import BoolArray, Capability, FloatArray, PixelArray, Text, Tokenizer
from artimuse.model.find import find_checkpoint
from artimuse.model.load import read_spec

logger = logging.getLogger(__name__)


class VllmEngine:
    """Implements `interfaces.Engine`."""

    capabilities: frozenset[Capability] = frozenset({"logits", "texts"})
    max_candidates: int | None = 128
    """vLLM 0.32 gives the logits of so many tokens of one's choice."""

    def __init__(self, config: EngineConfig) -> None:
        """Raises BadCheckpoint as the built-in engine does; EngineFailed if vLLM is missing or does not start."""
        self.device = resolve_device(config.device)
        self.dtype = resolve_dtype(config.dtype, self.device)
        vllm_network = import_network()
        spec = read_spec(find_checkpoint(config.model))
        self.template = spec.template
        # transformers types it wider than it is: a list gives a list, and an unknown token gives None.
        self.tokenizer = cast(Tokenizer, spec.tokenizer)
        self.reader = AnswerReader(spec.tokenizer)
        self.llm = vllm_network.open_llm(spec, config, device=self.device, dtype=self.dtype)
        self._prompts: dict[str, list[int]] = {}
        self._failure: str | None = None

    @property
    def precision(self) -> dict[str, str]:
        """What `auto` became, for the fingerprint of a run: scores depend on it."""
        return {"device": self.device.type, "dtype": str(self.dtype).removeprefix("torch.")}

    @contextmanager
    def open(self, pixels_BHWC: PixelArray) -> Iterator["KnownImages"]:
        yield KnownImages(self, pixels_BHWC)

    def prompt_ids(self, question: str) -> list[int]:
        if question not in self._prompts:
            self._prompts[question] = self.template.token_ids(self.tokenizer, question)
        return self._prompts[question]

    def answers(self, prompts: list[dict[str, Any]], sampling: Any) -> list[Any]:
        """vLLM's first output for each prompt. Raises EngineFailed after a call that failed or was interrupted."""
        if self._failure is not None:
            # What that call left unanswered would be answered now, among other questions.
            raise EngineFailed(f"vLLM must be started again, it has failed with {self._failure}")
        try:
            outputs = self.llm.generate(prompts, sampling, use_tqdm=False)
        except BaseException as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise
        return [output.outputs[0] for output in outputs]


class KnownImages:
    """Implements `interfaces.Images`."""

    def __init__(self, engine: VllmEngine, pixels_BHWC: PixelArray) -> None:
        self.engine = engine
        self.images = [
            {
                "multi_modal_data": {"image": [pixels_HWC]},
                "multi_modal_uuids": {"image": [hashlib.blake2b(pixels_HWC, digest_size=16).hexdigest()]},
            }
            for pixels_HWC in np.ascontiguousarray(pixels_BHWC)
        ]

    def __len__(self) -> int:
        return len(self.images)

    def logits(self, question: str, candidates: Sequence[str]) -> FloatArray:
        from vllm import SamplingParams

        token_ids = candidate_ids(self.engine.tokenizer, candidates)
        sampling = SamplingParams(
            temperature=0, max_tokens=1, logprob_token_ids=token_ids, flat_logprobs=True, detokenize=False
        )
        logits_BK = np.empty((len(self), len(token_ids)), np.float32)
        for i, answer in enumerate(self._ask(range(len(self)), [question], sampling)):
            # The token that was generated comes before those asked for.
            assert answer.logprobs.token_ids[1:] == token_ids
            logits_BK[i] = answer.logprobs.logprobs[1:]
        return logits_BK

    def generate(self, questions: Sequence[str], *, rows: BoolArray, max_new_tokens: int) -> list[list[Text]]:
        from vllm import SamplingParams

        indices = np.flatnonzero(rows).tolist()
        sampling = SamplingParams(
            temperature=0,
            max_tokens=max_new_tokens,
            stop_token_ids=[self.engine.reader.stop_id],
            # Without this vLLM would stop at what the checkpoint's generation_config.json names, too.
            ignore_eos=True,
            detokenize=False,
        )
        texts = (self.engine.reader.read(answer.token_ids) for answer in self._ask(indices, questions, sampling))
        return [[next(texts) for _ in questions] for _ in indices]

    def _ask(self, indices: Sequence[int], questions: Sequence[str], sampling: Any) -> list[Any]:
        """The answers to all questions about the first image, then about the second, and so on."""
        prompts = [
            {"prompt_token_ids": self.engine.prompt_ids(question), **self.images[i]}
            for i in indices
            for question in questions
        ]
        return self.engine.answers(prompts, sampling)


def import_network() -> ModuleType:
    """Imports `vllm_network`, with vLLM's variables set as it reads them. Raises EngineFailed without vLLM."""
    # What `vllm_network` tells vLLM is known in this process only. Nor is there another one to outlive it.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    is_debug = logger.isEnabledFor(logging.DEBUG)
    for name, value in {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "INFO" if is_debug else "ERROR",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output is for reports
    }.items():
        os.environ.setdefault(name, value)
    try:
        from artimuse.engines import vllm_network
    except ImportError as error:
        raise EngineFailed(f"the engine vllm needs vLLM ({error}): pip install 'artimuse[vllm]'") from error
    return vllm_network
