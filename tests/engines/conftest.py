"""Prepares vLLM for the tests where it is installed."""

import warnings
from importlib.util import find_spec

if find_spec("vllm"):
    from artimuse.engines.vllm import import_network

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch about vLLM, and about itself
        import_network()

    from vllm.model_executor.models import qwen2
    from vllm.platforms import current_platform

    from tests.engines.wide_attention import WideAttention

    if current_platform.is_cpu():
        qwen2.Attention = WideAttention
