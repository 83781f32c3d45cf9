from placement.groups import carve, hosts_of, num_free, part_of
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig


def hosts(*classes: tuple[int, int]):
    """Node classes a, b, ... of (hosts, devices on each)."""
    nodes = (
        NodeClass(name, count, "cpu", size, 10) for name, (count, size) in zip("abc", classes, strict=False)
    )
    return hosts_of(Cluster(tuple(nodes)))


def devices(layout) -> list[str]:
    return [" ".join(mesh.devices) for mesh in layout]


def test_small_groups_lie_aligned_inside_a_host() -> None:
    layout = carve(hosts((2, 4)), ParallelConfig(1, 2))
    assert devices(layout) == ["a-0:0 a-0:1", "a-0:2 a-0:3", "a-1:0 a-1:1", "a-1:2 a-1:3"]


def test_large_groups_take_whole_hosts() -> None:
    layout = carve(hosts((3, 2)), ParallelConfig(2, 2))
    assert devices(layout) == ["a-0:0 a-0:1 a-1:0 a-1:1", "a-2:0 a-2:1"]
    assert [mesh.num_hosts for mesh in layout] == [2, 1]
    assert [mesh.config for mesh in layout] == [ParallelConfig(2, 2), ParallelConfig(1, 2)]


def test_groups_never_straddle_node_classes() -> None:
    layout = carve(hosts((1, 2), (2, 2)), ParallelConfig(1, 4))
    assert devices(layout) == ["b-0:0 b-0:1 b-1:0 b-1:1", "a-0:0 a-0:1"]


def test_what_is_left_of_a_host_becomes_pipelines_of_powers_of_two() -> None:
    layout = carve(hosts((1, 7)), ParallelConfig(1, 4))
    assert devices(layout) == ["a-0:0 a-0:1 a-0:2 a-0:3", "a-0:6", "a-0:4 a-0:5"]


def test_tensor_parallelism_never_crosses_hosts() -> None:
    assert carve(hosts((4, 3)), ParallelConfig(2, 3)) == ()


def test_a_cluster_that_is_too_small_has_no_such_group() -> None:
    assert carve(hosts((1, 4)), ParallelConfig(1, 8)) == ()


def test_parts_of_a_cluster_are_disjoint_and_complete() -> None:
    whole = hosts((2, 4))
    first, second = part_of(whole, 0, 3), part_of(whole, 3, 8)
    assert (num_free(first), num_free(second)) == (3, 5)
    assert devices(carve(first, ParallelConfig(1, 2))) == ["a-0:0 a-0:1", "a-0:2"]
    pairs = devices(carve(second, ParallelConfig(1, 2)))
    assert pairs == ["a-1:0 a-1:1", "a-1:2 a-1:3", "a-0:3"]


def test_usable_memory_leaves_the_reserve_out() -> None:
    cluster = Cluster((NodeClass("a", 1, "cpu", 1, 1000),), reserve=0.25)
    assert carve(hosts_of(cluster), ParallelConfig())[0].usable_bytes == 750
