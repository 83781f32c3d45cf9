from placement.intra.nodes import Freedom, nodes_of
from placement.intra.repeats import classes_of
from tests.placement.intra.graphs import Drawing, feed_forward, ring


def layered(num_layers: int, *, widths: tuple[int, ...] = (256, 64, 256, 64, 256, 64)):
    """Layers of three feed-forwards each, then an end of its own."""
    drawing = Drawing()
    x = drawing.input(1, 64)
    for _ in range(num_layers):
        for width in widths[::2]:
            up = drawing.matmul(x, drawing.parameter(64, width))
            x = drawing.add(x, drawing.matmul(up, drawing.parameter(width, 64)))
    return drawing.graph(drawing.matmul(x, drawing.parameter(64, 1000)))


def classes(graph, **options):
    return classes_of(nodes_of(graph, ring(4), Freedom()), graph, **options)


def test_equal_layers_are_one_class_whatever_their_number():
    few, many = classes(layered(6)), classes(layered(20))
    assert len(few.members) == len(many.members)
    assert max(map(len, many.members)) >= 9


def test_a_short_model_has_nothing_to_tie():
    assert {len(members) for members in classes(feed_forward()).members} == {1}


def test_a_layer_of_another_shape_stands_alone_and_those_round_it_are_tied():
    graph = layered(3, widths=(256, 64) * 12 + (512, 64) + (256, 64) * 12)
    found = classes(graph)
    alone = [members for members in found.members if len(members) == 1]
    assert len(alone) < len(found.of) / 2
    assert sum(map(len, found.members)) == len(found.of)


def test_tying_can_be_turned_off():
    assert len(classes(layered(6), ties_repeats=False).members) == len(classes(layered(6)).of)
