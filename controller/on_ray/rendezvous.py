"""Words that processes of one Ray cluster leave for each other: where NCCL looks for its unique ids."""

from __future__ import annotations

from typing import final

# Apart from what Ray and its libraries keep in the same store.
_NAMESPACE = b"statmux"


@final
class RayRendezvous:
    """See `resharding.transport.rendezvous.Rendezvous`. In the cluster's own key-value store, on its head.

    In any process that is connected to Ray; it can be pickled, so that the controller gives it to workers.
    """

    def put(self, key: str, value: bytes) -> None:
        from ray.experimental import internal_kv

        internal_kv._internal_kv_put(key.encode(), value, overwrite=True, namespace=_NAMESPACE)

    def get(self, key: str) -> bytes | None:
        from ray.experimental import internal_kv

        return internal_kv._internal_kv_get(key.encode(), namespace=_NAMESPACE)

    def drop(self, key: str) -> None:
        from ray.experimental import internal_kv

        internal_kv._internal_kv_del(key.encode(), namespace=_NAMESPACE)
