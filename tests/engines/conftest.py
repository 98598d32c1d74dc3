"""Prepares vLLM for the tests where it is installed."""

import warnings
from importlib.util import find_spec

import pytest

HAS_VLLM = find_spec("vllm") is not None

if HAS_VLLM:
    from artimuse.engines.vllm import import_network

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch about vLLM, and about itself
        import_network()

    from vllm.model_executor.models import qwen2
    from vllm.platforms import current_platform

    from tests.engines.wide_attention import WideAttention

    if current_platform.is_cpu():
        qwen2.Attention = WideAttention


@pytest.fixture(scope="session")
def vllm_on_cpu() -> None:
    if not HAS_VLLM or not current_platform.is_cpu():
        pytest.skip("vLLM is not installed for the CPU: `make test-vllm`")
