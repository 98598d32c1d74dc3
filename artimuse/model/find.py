"""From the name a user gives to a directory with a checkpoint, the same one for every process that asks."""

import re
from dataclasses import dataclass
from pathlib import Path

from artimuse.errors import BadCheckpoint
from artimuse.model.config_file import ConfigFile

NANO = "nano"
"""The built-in demonstration model; a directory of that name is reached as ./nano."""

CHECKPOINT_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""All that is ever fetched: no code, no pickles."""

_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model lies on this machine."""

    directory: Path
    name: str
    """Finds exactly the same model from another process or node: `nano`, an absolute path, a URL, or for the
    Hub `owner/repo@commit`."""
    revision: str | None = None
    """The commit, for a model from the Hub."""

    @property
    def note(self) -> str | None:
        """What a reader of its answers must know: `artimuse_note` in its config.json, which the built-in model has."""
        note: str | None = ConfigFile.read(self.directory).get("artimuse_note", None)
        return note


def find_checkpoint(model: str) -> Checkpoint:
    """Resolves `nano`, a local directory, an fsspec URL, or a Hugging Face id with optional @revision.

    Downloads what is not on this machine yet; several processes asking at once download it once.
    Raises BadCheckpoint, saying what was tried, if there is nothing of that name.
    """
    if model == NANO:
        return Checkpoint(Path(__file__).with_name(NANO), NANO)
    if "://" in model:
        from artimuse.model.remote import local_copy

        return Checkpoint(local_copy(model, CHECKPOINT_FILES), model)
    directory = Path(model).expanduser().absolute()
    if model and directory.is_dir():
        return Checkpoint(directory, str(directory))
    match = _HUB_ID.fullmatch(model)
    if not match:
        raise BadCheckpoint(
            f"model {model!r}: there is no directory {directory}, and it is neither `{NANO}`, a URL,"
            " nor a Hugging Face id (owner/repo or owner/repo@revision)"
        )
    from artimuse.model.hub import download

    snapshot, commit = download(match["repo"], match["revision"], CHECKPOINT_FILES)
    return Checkpoint(snapshot, f"{match['repo']}@{commit}", commit)
