"""Shardings that hypothesis draws: a mesh of up to three axes over an array of up to three dimensions."""

from hypothesis import strategies as st

from vocabulary.sharding import Sharding

SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)


@st.composite
def shardings(draw: st.DrawFn, *, num_dims: int) -> Sharding:
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    axes = tuple((name, size) for name, size in zip("xyz", sizes, strict=False))
    dims: list[list[str]] = [[] for _ in range(num_dims)]
    for name, _ in draw(st.permutations(axes)):
        dim = draw(st.one_of(st.none(), st.integers(0, num_dims - 1)))
        if dim is not None:
            dims[dim].append(name)
    return Sharding(axes, tuple(tuple(dim) for dim in dims))
