"""Whose the requests of a trace are <-> the column of its file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from vocabulary.formats.trace_rows import Rows
from vocabulary.trace import Tenants

TENANT = "tenant"


def tenants_of(rows: Rows, label: Callable[[str], str]) -> Tenants | None:
    """None without the column, or when it is empty. `label`: a column of ours -> its name in the file."""
    column = label(TENANT)
    if column not in rows.table.column_names:
        return None
    found = rows.texts(column)
    return Tenants(found.index, found.names) if any(found.names) else None


def used_tenants(tenants: Tenants) -> Tenants:
    """Without names that no request has."""
    used, index = np.unique(tenants.index, return_inverse=True)
    return Tenants(index.astype(np.int32), tuple(tenants.names[int(number)] for number in used))


def tenant_column(tenants: Tenants) -> pa.Array:
    """As `tenants_of` reads it."""
    names = pa.array(tenants.names, pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(tenants.index), names).cast(pa.string())
