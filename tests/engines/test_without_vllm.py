"""What is said of vLLM where it is not installed. Imports are seen in a process of their own."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from artimuse.configs.engine import EngineConfig
from artimuse.engines import open_engine
from artimuse.errors import EngineFailed


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_error_is_a_line_that_says_what_to_install():
    with pytest.raises(EngineFailed, match=r"^the engine vllm needs vLLM .*: pip install 'artimuse\[vllm\]'$"):
        open_engine(EngineConfig(name="vllm", model="nano", device="cpu"))


def test_the_engine_is_known_without_importing_vllm():
    code = "import sys; from artimuse.engines import engine_class; engine_class('vllm'); print('vllm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
