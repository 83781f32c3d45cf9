import pytest

from placement.intra.collectives import reshard, total_s
from placement.intra.mesh import DeviceMesh, MeshAxis
from vocabulary.layer_graph import GraphTensor, sharding_of

AXIS = MeshAxis("tensor", 4, 1e-5, 1e9)
GRID = DeviceMesh((MeshAxis("host", 2, 1e-4, 1e8), AXIS), 1e12, 1e11)
MATRIX = GraphTensor((16, 32), 4)  # 2048 bytes


def test_collectives_take_a_latency_and_what_a_device_sends_in_a_ring():
    assert AXIS.all_gather_s(4e6) == pytest.approx(1e-5 + 3e-3)
    assert AXIS.all_reduce_s(4e6) == pytest.approx(1e-5 + 6e-3)
    assert AXIS.all_to_all_s(4e6) == pytest.approx(1e-5 + 3e-3)


def test_one_device_has_nobody_to_send_to():
    assert MeshAxis("tensor", 1, 1e-5, 1e9).all_reduce_s(1e9) == 0.0


def test_an_operator_takes_its_flops_or_its_bytes_whichever_is_longer():
    assert GRID.pass_s(flops=1e12, num_bytes=1e10) == 1.0
    assert GRID.pass_s(flops=1e11, num_bytes=1e11) == 1.0


def test_cutting_what_is_whole_sends_nothing():
    assert reshard(MATRIX, (None, None), (0, 1), GRID) == ()
    assert reshard(MATRIX, (0, 1), (0, 1), GRID) == ()


def test_what_is_cut_first_makes_what_is_gathered_smaller():
    (gather,) = reshard(MATRIX, (None, 1), (0, None), GRID)
    assert (gather.kind, gather.axis, gather.num_bytes) == ("all_gather", "tensor", 1024)
    assert gather.seconds == pytest.approx(AXIS.all_gather_s(1024))


def test_one_cut_becomes_another_by_an_all_to_all_of_what_a_device_holds():
    (exchange,) = reshard(MATRIX, (None, 0), (None, 1), GRID)
    assert (exchange.kind, exchange.num_bytes) == ("all_to_all", 512)


def test_gathering_over_both_axes_sends_twice():
    gathers = reshard(MATRIX, (0, 1), (None, None), GRID)
    assert [(one.kind, one.axis, one.num_bytes) for one in gathers] == [
        ("all_gather", "host", 512),
        ("all_gather", "tensor", 2048),
    ]
    assert total_s(gathers) == sum(one.seconds for one in gathers)


def test_a_layout_names_the_axes_that_cut_each_dimension():
    sharding = sharding_of((1, 1), MATRIX, GRID.named_sizes)
    assert sharding.dims == ((), ("host", "tensor"))
    assert sharding.index_map((16, 32))[5] == (slice(0, 16), slice(20, 24))
