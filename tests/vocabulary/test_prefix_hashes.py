"""What stands for the beginning of a prompt: who may share, and who may not."""

from __future__ import annotations

import numpy as np

from vocabulary.prefix_hashes import first_hash, next_hash, page_hashes, prefix_salt


def test_prompts_share_hashes_as_far_as_they_are_equal() -> None:
    one = page_hashes([1, 2, 3, 4, 5, 6], page_tokens=2, salt="")
    other = page_hashes([1, 2, 3, 9, 5, 6], page_tokens=2, salt="")
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, False, False]


def test_a_page_that_is_not_full_has_no_hash() -> None:
    assert len(page_hashes([1, 2, 3, 4, 5], page_tokens=2, salt="")) == 2
    assert page_hashes([1], page_tokens=2, salt="") == ()


def test_hashes_can_be_gone_on_with_one_page_at_a_time() -> None:
    whole = page_hashes([1, 2, 3, 4], page_tokens=2, salt="s")
    first = next_hash(first_hash("s"), [1, 2])
    assert whole == (first, next_hash(first, [3, 4]))


def test_a_hash_is_of_token_ids_however_they_are_held() -> None:
    ids = np.array([1, 2, 3, 4], dtype=np.int64)
    assert page_hashes(ids, page_tokens=2, salt="") == page_hashes([1, 2, 3, 4], page_tokens=2, salt="")


def test_prompts_share_only_where_model_adapter_salt_and_cache_are_the_same() -> None:
    salts = {
        prefix_salt("a"),
        prefix_salt("b"),
        prefix_salt("a", adapter="x"),
        prefix_salt("a", tenant_salt="x"),
        prefix_salt("a", cache_type="x"),
        prefix_salt("ax"),
        prefix_salt("a", adapter='x","'),
        prefix_salt('a","x'),
    }
    assert len(salts) == 8
    hashes = {page_hashes([1, 2], page_tokens=2, salt=salt) for salt in salts}
    assert len(hashes) == 8
