"""The paper's network in PyTorch, to compare Caffe's results and its times with.

    python -m checks.torch_reference REQUEST.json ANSWER.json

It runs in any Python that has torch and numpy, Caffe or not, so it imports nothing of the project
but :mod:`objseg.errors`; :func:`ask` is the other side. A request is a dictionary:

- ``shapes``: {layer: [shapes of its weights]} of the Caffe net, which define every width; with
  ``upsample32s`` among them it is the high resolution net;
- ``task``: "train" (forward, backward, a step of SGD), "segment" (forward alone), or "evaluate"
  (one forward and backward with the arrays of ``arrays``, an .npz file, which is answered with
  another one);
- ``frozen``: names of the layers whose weights are held;
- ``device``: cpu or cuda:N; ``threads`` of the CPU, 0 for PyTorch's own choice; ``tf32``;
- ``input``: side of the image; ``words``: steps T; ``images`` in a batch, each with
  ``expressions`` that share its trunk; ``iterations`` timed, after two that are not.

The answer holds ``seconds``, one an iteration, and ``torch``, its version.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from objseg.errors import UserError

WARM_UP = 2


def find_python(given=None):
    """Path of a Python that has torch: ``given``, or else this one or python3 on the PATH.

    Returns None where neither has it. Raises UserError when ``given`` has none or does not run.
    """
    # A portable Caffe puts its own folder first on the PATH; here the host's Python is meant.
    own = str(Path(sys.executable).parent)
    folders = [f for f in os.get_exec_path() if f != own]
    hosts = shutil.which("python3", path=os.pathsep.join(folders))
    look = "import importlib.util as i, sys; sys.exit(i.find_spec('torch') is None)"
    for python in [given] if given else filter(None, [sys.executable, hosts]):
        if _succeeds(python, look):
            return python
    if given:
        raise UserError(f"--torch-python {given}: it has no torch")
    return None


def sees_gpu(python):
    """Whether the torch of the interpreter ``python`` can compute on a GPU here."""
    return _succeeds(python, "import sys, torch; sys.exit(not torch.cuda.is_available())")


def _succeeds(python, code):
    return subprocess.run([python, "-c", code], env=_environment(python)).returncode == 0


def _environment(python):
    """The environment for another Python: without what is meant for this one."""
    if python == sys.executable:
        return None
    ours = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE")
    return {key: value for key, value in os.environ.items() if key not in ours}


def ask(python, request):
    """Send a request to this file under the interpreter ``python``; returns the answer.

    Raises UserError when that Python does not run or has no torch, or the run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(request))
        done = subprocess.run(
            [python, "-m", "checks.torch_reference", str(question), str(answer)],
            cwd=str(Path(__file__).resolve().parents[1]), env=_environment(python),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if done.returncode:
            lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(f"{python}: {lines[-1]}")
        return json.loads(answer.read_text())


def network(torch, shapes):
    """Build the network whose weights have Caffe's ``shapes``."""
    from torch import nn
    from torch.nn import functional

    class Network(nn.Module):
        """Images (I, 3, S, S) and expressions to scores (N, 1, h, w); layers as in Caffe."""

        def __init__(self):
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

    return Network()


def caffe_tensors(model, shapes):
    """The parameters in Caffe's order: {layer: tensors}, sharing their memory."""
    tensors = {}
    for name in shapes:
        if name == "lstm":
            lstm = model.lstm
            tensors[name] = [lstm.weight_ih_l0, lstm.bias_ih_l0, lstm.weight_hh_l0]
        else:
            module = getattr(model.trunk, name, None) or getattr(model, name)
            tensors[name] = [module.weight, getattr(module, "bias", None)][:len(shapes[name])]
    return tensors


def gates(array):
    """Between Caffe's gates i, f, o, g and PyTorch's i, f, g, o; its own inverse."""
    i, f, o, g = np.split(array, 4)
    return np.concatenate([i, f, g, o])


def start_at_the_first_word(tokens, continuation):
    """Caffe's tokens (T, N), padding in front, as (tokens, lengths) with the padding behind."""
    steps, count = tokens.shape
    lengths = continuation.sum(axis=0).astype(int) + 1
    moved = np.zeros((steps, count), np.int64)
    for n, length in enumerate(lengths):
        moved[:length, n] = tokens[steps - length:, n]
    return moved, lengths


def prepare(torch, request):
    """Build the model and its optimiser on the request's device; returns (model, optimiser)."""
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    torch.backends.cudnn.benchmark = True  # PyTorch at its fastest
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = request["tf32"]
    torch.manual_seed(1)
    model = network(torch, request["shapes"]).to(request["device"])
    for name in request["frozen"]:
        for tensor in caffe_tensors(model, request["shapes"])[name]:
            tensor.requires_grad_(False)
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.dim() == 1]
    optimiser = torch.optim.SGD(
        [dict(params=decayed, weight_decay=5e-4), dict(params=plain)], lr=0.01, momentum=0.9
    )
    return model, optimiser


def loss_of(torch, score, label):
    """The paper's loss: foreground three times the weight of background."""
    return torch.nn.functional.binary_cross_entropy_with_logits(
        score, label, pos_weight=torch.tensor(3.0, device=score.device)
    )


def measure(torch, request):
    """Time the task of the request on random inputs."""
    model, optimiser = prepare(torch, request)
    device, side, count = request["device"], request["input"], request["images"]
    expressions = request["expressions"]
    image = torch.randn(count, 3, side, side, device=device) * 50
    rows = request["shapes"]["embedding"][0][0]
    tokens = torch.randint(rows, (request["words"], count * expressions), device=device)
    lengths = torch.full((count * expressions,), request["words"], device=device)
    index = torch.arange(count, device=device).repeat_interleave(expressions)
    cuda, seconds = device.startswith("cuda"), []
    for iteration in range(WARM_UP + request["iterations"]):
        began = time.perf_counter()
        if request["task"] == "train":
            optimiser.zero_grad()
            score = model(image, tokens, lengths, index)
            if iteration == 0:
                label = (torch.rand_like(score) < 0.2).float()
            loss = loss_of(torch, score, label)
            loss.backward()
            optimiser.step()
            loss.item()
        else:
            with torch.no_grad():
                model(image, tokens, lengths, index).cpu()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds[WARM_UP:]}


def evaluate(torch, request):
    """Forward and backward with the given weights and inputs; writes score and gradients."""
    arrays = np.load(request["arrays"])
    model, _ = prepare(torch, request)
    tensors = caffe_tensors(model, request["shapes"])
    with torch.no_grad():
        for name, parameters in tensors.items():
            for number, parameter in enumerate(parameters):
                value = arrays[f"{name} {number}"]
                parameter.copy_(torch.from_numpy(gates(value) if name == "lstm" else value))
    image, label = (
        torch.from_numpy(arrays[key]).to(request["device"]) for key in ("image", "label")
    )
    tokens, lengths = start_at_the_first_word(arrays["tokens"], arrays["continuation"])
    tokens, lengths, index = (
        torch.from_numpy(array.astype(np.int64)).to(request["device"])
        for array in (tokens, lengths, arrays["image_index"])
    )
    score = model(image, tokens, lengths, index)
    loss = loss_of(torch, score, label)
    loss.backward()
    answer = {"score": score.detach().cpu().numpy(), "loss": loss.item()}
    for name, parameters in tensors.items():
        for number, parameter in enumerate(parameters):
            value = parameter.grad.cpu().numpy()
            answer[f"{name} {number}"] = gates(value) if name == "lstm" else value
    np.savez(request["answers"], **answer)
    return {}


def main():
    """Answer a request."""
    question, answer = map(Path, sys.argv[1:])
    request = json.loads(question.read_text())
    import torch  # only this side has it

    answered = evaluate(torch, request) if request["task"] == "evaluate" \
        else measure(torch, request)
    answer.write_text(json.dumps({**answered, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
