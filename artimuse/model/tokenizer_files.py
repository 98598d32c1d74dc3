"""The tokenizer's files in a checkpoint, the same in every layout."""

from pathlib import Path
from typing import cast

from transformers import Qwen2Tokenizer

from artimuse.errors import BadCheckpoint
from artimuse.interfaces import Tokenizer
from artimuse.model.config_file import write_json
from artimuse.model.template import check_tokenizer

# Names the class knows; None is a value that must be said, or the class fills in its own.
_NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
_FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")


def read_tokenizer(directory: Path, vocab_size: int) -> Qwen2Tokenizer:
    """Takes `tokenizer.json`, or `vocab.json` and `merges.txt`.

    Raises BadCheckpoint if files are missing or damaged, if a special token of the chat template is not in the
    vocabulary, or if there are more tokens than the network has embeddings for.
    """
    # Without its files the class would silently make an empty vocabulary.
    if not (directory / "tokenizer.json").is_file():
        for name in ("vocab.json", "merges.txt"):
            if not (directory / name).is_file():
                raise BadCheckpoint(f"{directory / name}: missing; the tokenizer needs it")
    try:
        tokenizer: Qwen2Tokenizer = Qwen2Tokenizer.from_pretrained(directory, local_files_only=True)
    # A damaged file: the tokenizers library raises bare Exceptions.
    except Exception as error:
        raise BadCheckpoint(f"{directory}: the tokenizer cannot be read ({error})") from error
    check_tokenizer(cast(Tokenizer, tokenizer), directory)
    if len(tokenizer) > vocab_size:
        path = directory / "config.json"
        raise BadCheckpoint(f"{path}: vocab_size is {vocab_size}, but the tokenizer has {len(tokenizer)} tokens")
    return tokenizer


def write_tokenizer(directory: Path, tokenizer: Qwen2Tokenizer) -> None:
    """Writes `vocab.json`, `merges.txt` and `tokenizer_config.json`, also if it was read from `tokenizer.json`.

    The official code takes no other: transformers 4.37.2 without the tokenizers library. Tokens that were added since
    the tokenizer was read are among those written.
    """
    # Of Qwen2Tokenizer nothing else can differ: the class itself sets how text is normalised and split.
    tokenizer.backend_tokenizer.model.save(str(directory))
    write_json(
        directory / "tokenizer_config.json",
        {
            "add_prefix_space": tokenizer.add_prefix_space,
            "added_tokens_decoder": {
                str(token_id): {"content": token.content} | {flag: getattr(token, flag) for flag in _FLAGS}
                for token_id, token in sorted(tokenizer.added_tokens_decoder.items())
            },
            # With the named ones, what the official code leaves out of its answers.
            "additional_special_tokens": tokenizer.extra_special_tokens,
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "model_max_length": tokenizer.model_max_length,
            "split_special_tokens": tokenizer.split_special_tokens,
            "tokenizer_class": "Qwen2Tokenizer",
        }
        | {name: getattr(tokenizer, name) for name in _NAMED_TOKENS},
    )
