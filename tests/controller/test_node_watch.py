"""The thread that looks at nodes goes on whatever a look meets."""

from __future__ import annotations

import threading

from controller.on_ray.nodes import NodeWatch


def test_a_look_that_fails_is_followed_by_others():
    looks = iter([frozenset({"a"}), OSError("Ray is away"), frozenset({"a"}), frozenset()])
    heard: list[frozenset[str]] = []
    is_empty = threading.Event()

    def look() -> frozenset[str]:
        found = next(looks, frozenset())
        if isinstance(found, OSError):
            raise found
        return found

    def changed(there: frozenset[str]) -> None:
        heard.append(there)
        if not there:
            is_empty.set()

    watch = NodeWatch(look, changed, interval_s=0.0)
    watch.start()
    try:
        assert is_empty.wait(20.0)
    finally:
        watch.stop()
    assert heard == [frozenset({"a"}), frozenset()]
