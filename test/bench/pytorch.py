"""PyTorch on the workloads of the bench: a child process that measures when it is asked to.

Reads one JSON object a line from stdin and answers each with one on stdout:

  {"prepare": WORKLOAD, "threads": N}   builds it under that number of threads, warms it up; answers {"ready": NUMBER}
  {"measure": NUMBER, "seconds": S}     answers {"ms": [...]}, one for each step (or text) done in that time
  {"forget": true}                      lets go of all that was prepared; answers {}

It begins by saying what it is: {"torch": VERSION, "blas": [FILES]}, or {"missing": WHY} where PyTorch cannot be imported.
"""

import gc
import json
import sys
import time


def say(answer):
    print(json.dumps(answer), flush=True)


try:
    import torch
except Exception as error:  # not installed, or a library of it does not load
    say({"missing": f"{type(error).__name__}: {error}"})
    sys.exit(0)

CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
WARM_UP_PIECES, WARM_UP_SECONDS = 2, 0.5
LONG = 100  # milliseconds of a piece that needs no piece before it


def model_of(workload):
    """The recurrent layers, time-major, and a linear layer on top."""
    width = workload.get("vocabulary") or workload["features"]
    rnn = CELLS[workload["cell"]](width, workload["hidden"], workload["layers"])
    return rnn, torch.nn.Linear(workload["hidden"], workload.get("vocabulary") or 1)


def training(workload):
    """A step: forward with the carried state, loss, backward, clip of the global norm, Adam."""
    rnn, head = model_of(workload)
    weights = [*rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=2e-3)
    steps, rows, classes = workload["time"], workload["batch"], workload.get("vocabulary")
    if classes:
        ids = torch.randint(0, classes, (steps, rows))
        inputs = torch.nn.functional.one_hot(ids, classes).float()
        targets = torch.randint(0, classes, (steps * rows,))
    else:
        inputs = torch.randn(steps, rows, workload["features"])
        targets = torch.randn(steps * rows, 1)
    carried = [None]

    def piece():
        optimizer.zero_grad()
        hidden, state = rnn(inputs, carried[0])
        output = head(hidden).reshape(steps * rows, -1)
        if classes:
            loss = torch.nn.functional.cross_entropy(output, targets)
        else:
            loss = torch.nn.functional.mse_loss(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        carried[0] = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()

    return piece


def sampling(workload):
    """A text: each character drawn from the softmax and fed back."""
    rnn, head = model_of(workload)
    classes = workload["vocabulary"]

    def piece():
        with torch.inference_mode():
            state, last = None, torch.zeros(1, 1, dtype=torch.long)
            for _ in range(workload["characters"]):
                hidden, state = rnn(torch.nn.functional.one_hot(last, classes).float(), state)
                last = torch.multinomial(torch.softmax(head(hidden[0]), dim=-1), 1)

    return piece


def measured(piece, seconds, least=1):
    """Milliseconds of each piece."""
    times = []
    now = time.perf_counter()
    end = now + seconds
    while len(times) < least or now < end:
        piece()
        after = time.perf_counter()
        times.append((after - now) * 1e3)
        now = after
    return times


def loaded_blas():
    """Files of the BLAS that this process has loaded."""
    try:
        with open("/proc/self/maps") as maps:
            return sorted({line.split()[-1] for line in maps if "blas" in line and line.split()[-1].startswith("/")})
    except OSError:
        return []


def serve():
    prepared = []
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            workload = request["prepare"]
            torch.set_num_threads(request["threads"])
            piece = (training if workload["kind"] == "train" else sampling)(workload)
            times = measured(piece, WARM_UP_SECONDS, WARM_UP_PIECES)
            prepared.append((piece, request["threads"], times[-1] >= LONG))
            say({"ready": len(prepared) - 1})
        elif "measure" in request:
            piece, threads, long = prepared[request["measure"]]
            torch.set_num_threads(threads)
            if not long:
                piece()  # the caches have served others meanwhile
            say({"ms": measured(piece, request["seconds"])})
        else:
            prepared.clear()
            gc.collect()
            say({})


say({"torch": torch.__version__, "blas": loaded_blas()})
serve()
