import json
from pathlib import Path

import pytest

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from workers.generation.eos import eos_ids
from workers.weights import DirectoryCheckpoint


def checkpoint(folder: Path, config: object, generation: object = None) -> DirectoryCheckpoint:
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))
    return DirectoryCheckpoint("x", HubConfig({"eos_token_id": config}, "config.json"), folder, {}, {})


def test_generation_config_says_more_than_config(tmp_path):
    assert eos_ids(checkpoint(tmp_path, 2, [7, 8, 7])) == (7, 8)


def test_config_speaks_where_generation_config_does_not(tmp_path):
    assert eos_ids(checkpoint(tmp_path, 2)) == (2,)
    (tmp_path / "generation_config.json").write_text("{}")
    assert eos_ids(checkpoint(tmp_path, [2, 3])) == (2, 3)
    assert eos_ids(checkpoint(tmp_path, None)) == ()


def test_what_is_no_token_is_refused_with_its_file(tmp_path):
    with pytest.raises(InvalidInput, match="eos_token_id is 'end'"):
        eos_ids(checkpoint(tmp_path, 1, "end"))
