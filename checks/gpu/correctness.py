"""The parts that ask whether the results are right."""

import caffe
import numpy as np

from checks import torch_reference
from checks.gpu import machine, nets
from checks.gpu.comparison import (
    LIMITS,
    Comparison,
    first_computed,
    greatest,
    greatest_error,
    length_error,
    summary,
)


def compare_net(check, name):
    """Compare the committed net ``name`` (slim/train_lowres) on both devices.

    The paper's nets run one image, the slim ones two. Their weights are the fillers'.
    """
    path = nets.PROTOTXT / f"{name}.prototxt"
    parameters = nets.comparable(nets.read_net(path))
    trains = path.name.startswith("train_")
    if trains:
        nets.on_data(parameters, check.data, images=2 if name.startswith("slim/") else 1)
        nets.inputs_for_files(parameters, path)
    check.device()  # where a net is made decides whether it has cuDNN's layers; the CPU runs both
    net = nets.load(parameters, check.work, caffe.TRAIN if trains else caffe.TEST)
    nets.fill(net, parameters)
    net._forward(0, first_computed(net) - 1)  # the data layer, where there is one
    comparison, limits = Comparison(net, device=check.device), LIMITS[machine.arithmetic()]
    by_layer, failed = summary(
        comparison.layers(), "greatest", dict(forward=limits.layer, backward=limits.layer)
    )
    whole, apart = summary(
        comparison.whole(), "length", dict(forward=limits.values, backward=limits.gradients)
    )
    return {
        "arithmetic": machine.arithmetic(), "limits": limits._asdict(),
        "layers": by_layer, "whole": whole, "passed": not (failed or apart),
        "failed": [d._asdict() for d in failed], "failed_whole": [d._asdict() for d in apart],
    }


def compare_solvers(check):
    """Compare the steps of every type of solver that the repository uses, on given gradients.

    The weights after three steps may differ by 1e-5 of the greatest one of their array.
    """
    files = {nets.read_solver(path).type: path for path in nets.committed("solver")}
    worst = {}
    for kind, path in sorted(files.items()):
        parameters = nets.on_data(
            nets.read_net(nets.PROTOTXT / "slim" / "train_lowres.prototxt"), check.data, 1
        )
        results = []
        for device in (caffe.set_mode_cpu, check.device):
            device()
            solver = nets.make_solver(check.work, nets.read_solver(path), parameters)
            random = np.random.RandomState(1)
            for _ in range(3):
                for blob in _weights(solver.net):
                    blob.diff[...] = random.randn(*blob.shape)
                solver.apply_update()
            results.append([blob.data.copy() for blob in _weights(solver.net)])
        worst[kind] = greatest(map(greatest_error, *results))
    return {"limit": 1e-5, "solvers": worst, "passed": greatest(worst.values()) <= 1e-5}


def _weights(net):
    return [blob for blobs in net.params.values() for blob in blobs]


def compare_with_torch(check):
    """Compare score and gradients of the slim net with PyTorch's on the CPU, on equal weights."""
    caffe.set_mode_cpu()
    parameters = nets.read_net(nets.PROTOTXT / "slim" / "train_highres.prototxt")
    parameters = nets.comparable(nets.on_data(parameters, check.data, 2))
    net = nets.load(parameters, check.work, caffe.TRAIN)
    net.forward()
    net.backward()
    inputs = ("image", "tokens", "continuation", "label", "image_index")
    arrays = {name: net.blobs[name].data for name in inputs}
    arrays["image_index"] = arrays["image_index"].astype(int)
    for name, blobs in net.params.items():
        arrays.update((f"{name} {number}", blob.data) for number, blob in enumerate(blobs))
    given, answers = check.work / "given.npz", check.work / "answers.npz"
    np.savez(given, **arrays)
    answer = torch_reference.ask(check.torch_python, {
        "task": "evaluate", "shapes": nets.shapes(net), "arrays": str(given),
        "answers": str(answers), "frozen": [], "device": "cpu", "threads": 0, "tf32": False,
    })
    expected = np.load(answers)
    errors = {"score": length_error(expected["score"], net.blobs["upsample32s"].data)}
    for name, blobs in net.params.items():
        for number, blob in enumerate(blobs):
            errors[f"gradient of {name} {number}"] = length_error(
                expected[f"{name} {number}"], blob.diff
            )
    worst = max(errors, key=errors.get)
    return {"torch": answer["torch"], "worst": worst, "error": errors[worst], "limit": 1e-3,
            "errors": errors, "passed": errors[worst] <= 1e-3}
