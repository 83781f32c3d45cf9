"""Which tokens end an answer, as a checkpoint says."""

from __future__ import annotations

from vocabulary.errors import InvalidInput
from workers.weights import Checkpoint, read_json

GENERATION_CONFIG = "generation_config.json"
_KEY = "eos_token_id"


def eos_ids(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Of generation_config.json, else of config.json; none where neither says. Raises InvalidInput."""
    folder, value, where = checkpoint.directory, None, checkpoint.config.where
    if folder is not None and (folder / GENERATION_CONFIG).is_file():
        value = read_json(folder / GENERATION_CONFIG).get(_KEY)
        where = str(folder / GENERATION_CONFIG) if value is not None else where
    if value is None:
        value = checkpoint.config.values.get(_KEY)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in ids):
        raise InvalidInput(f"{_KEY} is {value!r}, neither a token nor a list of them", where=where)
    return tuple(dict.fromkeys(ids))
