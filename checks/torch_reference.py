"""The paper's network in PyTorch, to compare Caffe's results and its times with.

    python -m checks.torch_reference REQUEST.json ANSWER.json

It runs in any Python that has torch and numpy, Caffe or not, so it imports nothing of the project;
:mod:`checks.torch_python` starts it. A request is a dictionary:

- ``shapes``: {layer: [shapes of its weights]} of Caffe's net of stage 2, which define every width;
- ``train``: run forward, backward and a step of SGD, or else forward;
- ``frozen``: names of the layers whose weights are not learnt;
- ``device``: cpu or cuda:N; ``threads`` of the CPU, 0 for PyTorch's own choice; ``tf32``;
- ``iterations`` to time, after ``warm_up`` others;
- ``best``: time all ways of PyTorch to run a net forward, and answer for the fastest;
- ``arrays``: an .npz file of inputs and weights, named as in Caffe; without it they are random:
  ``images`` of the side ``input`` in a batch, each with ``expressions`` of ``words`` that share its
  trunk;
- ``results``: an .npz file to write with the last score and the gradients of the weights.

The answer holds ``torch``, its version, ``way``, how the net was run, and ``seconds``, a list per
iteration: those that passed, and those that the processor's cores worked for this process.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    """Maps images (I, 3, S, S) and expressions to scores (N, 1, S, S); as in Caffe."""

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
        return self.upsample32s(self.mlp_l2(functional.relu(self.mlp_l1(fused))))


def caffe_tensors(model: Network, shapes: dict) -> dict[str, torch.Tensor]:
    """Return the parameters by Caffe's names: the layer's, and their number in it."""
    tensors = {}
    for name in shapes:
        if name == "lstm":
            lstm = model.lstm
            of_layer = [lstm.weight_ih_l0, lstm.bias_ih_l0, lstm.weight_hh_l0]
        else:
            module = getattr(model.trunk, name, None) or getattr(model, name)
            of_layer = [module.weight, getattr(module, "bias", None)][:len(shapes[name])]
        tensors.update((f"{name} {number}", tensor) for number, tensor in enumerate(of_layer))
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


def make_inputs(request: dict) -> list[torch.Tensor]:
    """Return image, tokens, lengths, image_index and label, on the request's device."""
    if "arrays" in request:
        arrays = np.load(request["arrays"])
        tokens, lengths = start_at_the_first_word(arrays["tokens"], arrays["continuation"])
        index = arrays["image_index"].astype(np.int64)
        inputs = map(torch.from_numpy, (arrays["image"], tokens, lengths, index, arrays["label"]))
    else:
        side, images, words = request["input"], request["images"], request["words"]
        count = images * request["expressions"]
        inputs = (
            torch.randn(images, 3, side, side) * 50,
            torch.randint(request["shapes"]["embedding"][0][0], (words, count)),
            torch.full((count,), words),
            torch.arange(images).repeat_interleave(request["expressions"]),
            (torch.rand(count, 1, side, side) < 0.2).float(),
        )
    return [tensor.to(request["device"]) for tensor in inputs]


def ways(model: Network) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, model) of PyTorch's ways to run ``model`` forward."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    for order, name in ((torch.contiguous_format, ""), (torch.channels_last, "channels_last")):
        model = model.eval().to(memory_format=order)
        yield name or "eager", model
        torch.compiler.reset()
        yield f"torch.compile, freezing {name}".strip(), torch.compile(model)


def time_forward(model: nn.Module, inputs: list[torch.Tensor], request: dict) -> list[list[float]]:
    """Return the times of the requested iterations of ``model``, forward alone."""
    seconds = []
    for _ in range(request["warm_up"] + request["iterations"]):
        began = clock()
        with torch.no_grad():
            model(*inputs).cpu()
        seconds.append(since(began))
    return seconds[request["warm_up"]:]


def run_best(model: Network, inputs: list[torch.Tensor], request: dict) -> dict:
    """Time all :func:`ways`; returns the answer of the fastest. One that fails is left out."""
    found = {}
    for name, variant in ways(model):
        try:
            found[name] = time_forward(variant, inputs, request)
        except Exception as error:  # torch.compile raises what its compilers do
            print(f"{name} is left out: {error}", file=sys.stderr)
    way = min(found, key=lambda name: median(passed for passed, _ in found[name]))
    return {"seconds": found[way], "way": way, "torch": torch.__version__}


def clock() -> tuple[float, float]:
    """Return seconds that passed, and those that the cores worked for this process."""
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> list[float]:
    """Return both kinds of seconds since ``began``, a :func:`clock`."""
    return [now - before for now, before in zip(clock(), began)]


def run(request: dict) -> dict:
    """Run the network as requested; returns the answer."""
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    torch.backends.cudnn.benchmark = True  # PyTorch at its fastest
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = request["tf32"]
    torch.manual_seed(1)
    model = Network(request["shapes"]).to(request["device"])
    tensors = caffe_tensors(model, request["shapes"])
    if "arrays" in request:
        arrays = np.load(request["arrays"])
        for name, tensor in tensors.items():
            value = gates(arrays[name]) if name.startswith("lstm") else arrays[name]
            tensor.data.copy_(torch.from_numpy(value))
    for name, tensor in tensors.items():
        tensor.requires_grad_(name.split()[0] not in request["frozen"])
    learnt = [tensor for tensor in tensors.values() if tensor.requires_grad]
    optimiser = torch.optim.SGD([
        dict(params=[tensor for tensor in learnt if tensor.dim() > 1], weight_decay=5e-4),
        dict(params=[tensor for tensor in learnt if tensor.dim() == 1]),
    ], lr=0.01, momentum=0.9)
    *inputs, label = make_inputs(request)
    if request.get("best"):
        return run_best(model, inputs, request)
    foreground = torch.tensor(3.0, device=label.device)  # its weight in the paper's loss
    seconds = []
    for _ in range(request["warm_up"] + request["iterations"]):
        began = clock()
        with torch.set_grad_enabled(request["train"]):
            score = model(*inputs)
        if request["train"]:
            optimiser.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(score, label, pos_weight=foreground)
            loss.backward()
            optimiser.step()
            loss.item()  # waits for a GPU, as the copy of the score does
        score = score.detach().cpu()
        seconds.append(since(began))
    if "results" in request:
        gradients = {name: tensor.grad.cpu().numpy() for name, tensor in tensors.items()}
        np.savez(request["results"], score=score.numpy(), **{
            name: gates(value) if name.startswith("lstm") else value
            for name, value in gradients.items()
        })
    return {"seconds": seconds[request["warm_up"]:], "way": "eager", "torch": torch.__version__}


if __name__ == "__main__":
    question, answer = map(Path, sys.argv[1:])
    answer.write_text(json.dumps(run(json.loads(question.read_text()))))
