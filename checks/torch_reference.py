"""The paper's network in PyTorch, to compare Caffe's results and its times with.

    python -m checks.torch_reference REQUEST.json ANSWER.json

It runs in any Python that has torch and numpy, Caffe or not, so it imports nothing of the project;
:mod:`checks.torch_python` starts it. A request is a dictionary:

- ``shapes``: {layer: [shapes of its weights]} of the Caffe net, which define every width; with
  ``upsample32s`` among them it is the high resolution net;
- ``task``: "training" (forward, backward, a step of SGD), "alone" or "shared" (forward), or
  "evaluate" (one forward and backward with the arrays of ``arrays``, an .npz file; the score and
  the gradients are written to another one, ``answers``);
- ``frozen``: names of the layers whose weights are not learnt;
- ``device``: cpu or cuda:N; ``threads`` of the CPU, 0 for PyTorch's own choice; ``tf32``;
- for a task that is timed ``input``, side of the image; ``words``, steps T; ``images`` in a batch,
  each with ``expressions`` that share its trunk; ``iterations`` timed, after two that are not.

The answer holds ``torch``, its version, and ``seconds``, one per iteration.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WARM_UP = 2
"""Iterations that are not timed."""


class Network(nn.Module):
    """Maps images (I, 3, S, S) and expressions to scores (N, 1, h, w); layers as in Caffe.

    The layers' weights have Caffe's ``shapes``.
    """

    def __init__(self, shapes):
        super().__init__()
        self.trunk, block = nn.Sequential(), "conv1"
        for name in (n for n in shapes if n.startswith(("conv", "fc"))):
            (out, channels, kernel, _), _ = shapes[name]
            if block.startswith("conv") and not name.startswith(block):
                self.trunk.add_module(f"pool{block[4:]}", nn.MaxPool2d(2))
                block = name[:5]
            self.trunk.add_module(name, nn.Conv2d(channels, out, kernel, padding=kernel // 2))
            if name != "fc8":
                self.trunk.add_module(f"relu_{name}", nn.ReLU(inplace=True))
        self.embedding = nn.Embedding(*shapes["embedding"][0])
        gates, embedding = shapes["lstm"][0]
        self.lstm = nn.LSTM(embedding, gates // 4)
        self.lstm.bias_hh_l0.data.zero_()  # Caffe has one bias
        self.lstm.bias_hh_l0.requires_grad_(False)
        for name in ("mlp_l1", "mlp_l2"):
            out, channels = shapes[name][0][:2]
            setattr(self, name, nn.Conv2d(channels, out, 1))
        self.upsample32s = None
        if "upsample32s" in shapes:
            self.upsample32s = nn.ConvTranspose2d(1, 1, 64, stride=32, padding=16, bias=False)

    def forward(self, image, tokens, lengths, image_index):
        """``tokens`` (T, N) start with the first word; ``lengths`` (N,) words count."""
        maps = functional.normalize(self.trunk(image))[image_index]
        states, _ = self.lstm(self.embedding(tokens))
        last = states[lengths - 1, torch.arange(len(lengths), device=states.device)]
        text = functional.normalize(last)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        y, x = torch.meshgrid(*(
            torch.linspace(-1, 1, side, device=maps.device) for side in maps.shape[2:]
        ), indexing="ij")
        position = torch.stack([x, y]).expand(len(maps), -1, -1, -1)
        fused = torch.cat([maps, text, position], dim=1)
        score = self.mlp_l2(functional.relu(self.mlp_l1(fused)))
        return score if self.upsample32s is None else self.upsample32s(score)


def caffe_tensors(model, shapes: dict) -> dict[str, list]:
    """Return the parameters in Caffe's order, {layer: tensors}."""
    tensors = {}
    for name in shapes:
        if name == "lstm":
            lstm = model.lstm
            tensors[name] = [lstm.weight_ih_l0, lstm.bias_ih_l0, lstm.weight_hh_l0]
        else:
            module = getattr(model.trunk, name, None) or getattr(model, name)
            tensors[name] = [module.weight, getattr(module, "bias", None)][:len(shapes[name])]
    return tensors


def gates(array: np.ndarray) -> np.ndarray:
    """Exchange Caffe's order of gates i, f, o, g and PyTorch's i, f, g, o; its own inverse."""
    i, f, o, g = np.split(array, 4)
    return np.concatenate([i, f, g, o])


def start_at_the_first_word(
    tokens: np.ndarray, continuation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move Caffe's padding (T, N) from before the words to after them; returns (tokens, lengths).
    """
    steps, count = tokens.shape
    lengths = continuation.sum(axis=0).astype(np.int64) + 1
    moved = np.zeros((steps, count), np.int64)
    for n, length in enumerate(lengths):
        moved[:length, n] = tokens[steps - length:, n]
    return moved, lengths


def prepare(request: dict) -> tuple:
    """Build the model and its optimiser on the request's device."""
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    torch.backends.cudnn.benchmark = True  # PyTorch at its fastest
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = request["tf32"]
    torch.manual_seed(1)
    model = Network(request["shapes"]).to(request["device"])
    for name in request["frozen"]:
        for tensor in caffe_tensors(model, request["shapes"])[name]:
            tensor.requires_grad_(False)
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD([
        dict(params=[p for p in learnt if p.dim() > 1], weight_decay=5e-4),
        dict(params=[p for p in learnt if p.dim() == 1]),
    ], lr=0.01, momentum=0.9)
    return model, optimiser


def loss_of(score, label):
    """Return the paper's loss: foreground has three times the weight of background."""
    return functional.binary_cross_entropy_with_logits(
        score, label, pos_weight=torch.tensor(3.0, device=score.device)
    )


def measure(request: dict) -> dict:
    """Time the task of the request on random inputs."""
    model, optimiser = prepare(request)
    device, side, images = request["device"], request["input"], request["images"]
    count = images * request["expressions"]
    image = torch.randn(images, 3, side, side, device=device) * 50
    rows = request["shapes"]["embedding"][0][0]
    tokens = torch.randint(rows, (request["words"], count), device=device)
    lengths = torch.full((count,), request["words"], device=device)
    index = torch.arange(images, device=device).repeat_interleave(request["expressions"])
    label, seconds = None, []
    for _ in range(WARM_UP + request["iterations"]):
        began = time.perf_counter()
        if request["task"] == "training":
            optimiser.zero_grad()
            score = model(image, tokens, lengths, index)
            if label is None:
                label = (torch.rand_like(score) < 0.2).float()
            loss = loss_of(score, label)
            loss.backward()
            optimiser.step()
            loss.item()
        else:
            with torch.no_grad():
                model(image, tokens, lengths, index).cpu()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds[WARM_UP:]}


def evaluate(request: dict) -> dict:
    """Run forward and backward with the given weights and inputs; write score and gradients."""
    arrays = np.load(request["arrays"])
    model, _ = prepare(request)
    parameters = {
        f"{layer} {number}": tensor
        for layer, tensors in caffe_tensors(model, request["shapes"]).items()
        for number, tensor in enumerate(tensors)
    }
    with torch.no_grad():
        for name, parameter in parameters.items():
            value = gates(arrays[name]) if name.startswith("lstm") else arrays[name]
            parameter.copy_(torch.from_numpy(value))
    tokens, lengths = start_at_the_first_word(arrays["tokens"], arrays["continuation"])
    inputs = (arrays["image"], tokens, lengths, arrays["image_index"].astype(np.int64))
    score = model(*(torch.from_numpy(array).to(request["device"]) for array in inputs))
    loss_of(score, torch.from_numpy(arrays["label"]).to(request["device"])).backward()
    gradients = {name: parameter.grad.cpu().numpy() for name, parameter in parameters.items()}
    np.savez(request["answers"], score=score.detach().cpu().numpy(), **{
        name: gates(value) if name.startswith("lstm") else value
        for name, value in gradients.items()
    })
    return {}


def main() -> None:
    """Answer a request."""
    question, answer = map(Path, sys.argv[1:])
    request = json.loads(question.read_text())
    respond = evaluate if request["task"] == "evaluate" else measure
    answer.write_text(json.dumps({**respond(request), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
