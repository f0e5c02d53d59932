"""Peak memory of PyTorch's training step: how far resident memory rises from what it was when all was loaded, in bytes.

usage: memory.py '{"cell", "features", "hidden", "layers", "batch", "time", "segment", "steps"}'

With "segment" above 0 the window goes through torch.utils.checkpoint in segments of so many steps.
"""

import json
import resource
import sys
import time

import torch
from torch.utils.checkpoint import checkpoint

torch.set_num_threads(1)
w = json.loads(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}

# What the first product and the first backward pass load belongs to the libraries.
a = torch.randn(64, 64, requires_grad=True)
(a @ a).sum().backward()

before = peak()
rnn, head = CELLS[w["cell"]](w["features"], w["hidden"], w["layers"]), torch.nn.Linear(w["hidden"], 1)
weights = [*rnn.parameters(), *head.parameters()]
optimizer = torch.optim.Adam(weights, lr=2e-3)
inputs = torch.randn(w["time"], w["batch"], w["features"])
targets = torch.randn(w["time"], w["batch"], 1)
state = torch.zeros(w["layers"], w["batch"], w["hidden"])
segment = w["segment"]


def part(x, y, state):
    hidden, state = rnn(x, state)
    return torch.nn.functional.mse_loss(head(hidden), y, reduction="sum"), state


times = []
for _ in range(w["steps"]):
    began = time.perf_counter()
    optimizer.zero_grad()
    if segment:
        state.requires_grad_()
        loss, now = 0, state
        for start in range(0, w["time"], segment):
            some, now = checkpoint(part, inputs[start : start + segment], targets[start : start + segment], now)
            loss = loss + some
    else:
        loss, now = part(inputs, targets, state)
    (loss / targets.numel()).backward()
    torch.nn.utils.clip_grad_norm_(weights, 5.0)
    optimizer.step()
    state = now.detach()
    times.append(time.perf_counter() - began)
times = sorted(times[1:])
print(json.dumps({"ms": times[len(times) // 2] * 1e3, "grown": peak() - before}))
