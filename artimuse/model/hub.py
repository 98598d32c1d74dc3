"""Checkpoints from the Hugging Face Hub, through huggingface_hub and its cache."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from artimuse.errors import BadCheckpoint


def download(repo: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str]:
    """The directory of a snapshot, and its commit. Without a network, an earlier download is used.

    Raises BadCheckpoint if there is no such repository or revision, or if it cannot be had from here.
    """
    try:
        directory = Path(snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise BadCheckpoint(f"model {repo}: gated on the Hub; accept its terms there, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise BadCheckpoint(
            f"model {repo}: there is no directory {Path(repo).absolute()} and no such repository on the Hub"
            " (if it is private: `hf auth login`)"
        ) from error
    except RevisionNotFoundError as error:
        raise BadCheckpoint(f"model {repo}: the repository on the Hub has no revision {revision}") from error
    # Any failure of the network: huggingface_hub lets exceptions of its HTTP library through.
    except Exception as error:
        raise BadCheckpoint(
            f"model {repo}: there is no directory {Path(repo).absolute()}, it is not in the local Hub cache,"
            f" and it cannot be downloaded ({_first_line(error)})"
        ) from error
    return directory, directory.name  # the cache names a snapshot's directory by its commit


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
