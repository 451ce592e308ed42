"""Operations against closed forms and published figures."""

import caffe
import pytest
from caffe import layers as L
from caffe import params as P

from checks import nets
from objseg.training import cost

VGG16 = [(3, 64), (64, 64), "pool", (64, 128), (128, 128), "pool",
         (128, 256), (256, 256), (256, 256), "pool", (256, 512), (512, 512), (512, 512), "pool",
         (512, 512), (512, 512), (512, 512), "pool"]
PUBLISHED_GMAC = 15.5  # of VGG-16 at 224x224, as quoted in the surveys


def vgg_operations(side):
    """Operations of VGG-16's convolutions by hand: every output value sums 9 * in products."""
    total = 0
    for step in VGG16:
        if step == "pool":
            side //= 2
        else:
            total += 2 * side * side * 9 * step[0] * step[1]
    return total


@pytest.fixture
def load(tmp_path):
    def build(net, phase=caffe.TRAIN):
        path = tmp_path / "net.prototxt"
        path.write_text(str(net.to_proto()))
        caffe.set_mode_cpu()
        return caffe.Net(str(path), phase)
    return build


def inputs(*shape):
    return L.Input(input_param=dict(shape=dict(dim=list(shape))))


def test_vgg16_at_224_costs_what_is_published(load):
    net = caffe.NetSpec()
    top = net.image = inputs(1, 3, 224, 224)
    for number, step in enumerate(VGG16):
        if step == "pool":
            top = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        else:
            top = L.Convolution(top, num_output=step[1], kernel_size=3, pad=1)
        net[f"layer{number}"] = top
    for number, width in enumerate((4096, 4096, 1000)):
        top = net[f"fc{number}"] = L.InnerProduct(top, num_output=width)
    forward, backward = cost.operations(load(net))
    by_hand = vgg_operations(224) + 2 * (25088 * 4096 + 4096 * 4096 + 4096 * 1000)
    assert forward == by_hand
    assert forward / 2e9 == pytest.approx(PUBLISHED_GMAC, rel=0.005)
    assert backward == 0  # there is no loss


def test_the_paper_net_costs_what_its_sizes_say():
    caffe.set_mode_cpu()
    net = caffe.Net(str(nets.PROTOTXT / "deploy_highres.prototxt"), caffe.TEST)
    cells = 16 * 16
    by_hand = (
        vgg_operations(512)
        + 2 * cells * (49 * 512 * 4096 + 4096 * 4096 + 4096 * 1000)  # fc6-8
        + 20 * 2 * (1000 + 1000) * 4000  # the LSTM's four gates, 20 words
        + 2 * cells * (2002 * 500 + 500)
        + 2 * cells * 64 * 64  # every cell spreads over 64 x 64
    )
    assert cost.operations(net)[0] == by_hand
    assert 224e9 < by_hand < 226e9


def test_backward_multiplies_for_weights_and_for_bottoms(load):
    net = caffe.NetSpec()
    net.x, net.target = inputs(2, 3, 8, 8), inputs(2, 5)
    for name, bottom in (("one", "x"), ("two", "one")):
        net[name] = L.Convolution(net[bottom], num_output=4, kernel_size=3, pad=1)
    net.scores = L.InnerProduct(net.two, num_output=5)
    net.loss = L.EuclideanLoss(net.scores, net.target)
    net = load(net)
    one, two, scores = 2 * 2 * 64 * 9 * 3 * 4, 2 * 2 * 64 * 9 * 4 * 4, 2 * 2 * 256 * 5
    by_name = {c.name: (c.forward, c.backward) for c in cost.layer_costs(net)}
    assert by_name["one"] == (one, one)  # nobody wants the gradient of the input
    assert by_name["two"] == (two, 2 * two)
    assert by_name["scores"] == (scores, 2 * scores)
    frozen = {c.name: c.backward for c in cost.layer_costs(net, frozen={"one"})}
    assert (frozen["one"], frozen["two"], frozen["scores"]) == (0, two, 2 * scores)


def test_an_lstm_reads_its_static_input_once(load):
    net = caffe.NetSpec()
    net.words, net.going_on, net.static = inputs(7, 3, 10), inputs(7, 3), inputs(3, 6)
    net.lstm = L.LSTM(net.words, net.going_on, net.static, recurrent_param=dict(num_output=11))
    per_sequence = 7 * (10 * 44 + 11 * 44) + 6 * 44
    assert cost.operations(load(net)) == (2 * 3 * per_sequence, 0)


def test_groups_and_strides_divide_the_work(load):
    net = caffe.NetSpec()
    net.x = inputs(1, 8, 16, 16)
    net.down = L.Convolution(net.x, num_output=6, kernel_size=4, stride=2, pad=1, group=2)
    net.up = L.Deconvolution(net.down, convolution_param=dict(
        num_output=4, kernel_size=4, stride=2, pad=1, group=2))
    down, up = (c.forward for c in cost.layer_costs(load(net))[1:])
    assert down == 2 * (6 * 8 * 8) * (4 * 16)  # values times (in / group * 4 * 4)
    assert up == 2 * (6 * 8 * 8) * (2 * 16)  # bottom values times (out / group * 4 * 4)


def test_frozen_layers_are_those_without_a_learning_rate():
    parameters = caffe.proto.caffe_pb2.NetParameter()
    for name, rates in (("held", (0, 0)), ("weights", (1, 0)), ("without", ())):
        layer = parameters.layer.add(name=name)
        for rate in rates:
            layer.param.add(lr_mult=rate)
    assert cost.frozen_layers(parameters) == {"held"}
