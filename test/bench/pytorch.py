"""PyTorch on the workloads of the bench: a child process that measures when it is asked to.

Reads one JSON object a line from stdin and answers each with one on stdout:

  {"prepare": WORKLOAD, "threads": N, "device": NAME, "tf32": BOOL}
      builds it on "cpu" or "cuda:0" under that number of threads, warms it up; answers {"ready": NUMBER}
  {"measure": NUMBER, "seconds": S, "together": N}
      answers {"ms": [...]}, one for each step (or text) done in that time, or for the mean of N that nothing waits between
  {"forget": true}
      lets go of all that was prepared; answers {}

It begins by saying what it is: {"torch": VERSION, "blas": [FILES], "cards": [NAMES]}, or {"missing": WHY} where PyTorch cannot
be imported. The cards are those of CUDA.
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


def model_of(workload, device):
    """The recurrent layers, time-major, and a linear layer on top."""
    width = workload.get("vocabulary") or workload["features"]
    rnn = CELLS[workload["cell"]](width, workload["hidden"], workload["layers"])
    return rnn.to(device), torch.nn.Linear(workload["hidden"], workload.get("vocabulary") or 1).to(device)


def training(workload, device):
    """A step: forward with the carried state, loss, backward, clip of the global norm, Adam."""
    rnn, head = model_of(workload, device)
    weights = [*rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=2e-3)
    steps, rows, classes = workload["time"], workload["batch"], workload.get("vocabulary")
    if classes:
        ids = torch.randint(0, classes, (steps, rows), device=device)
        inputs = torch.nn.functional.one_hot(ids, classes).float()
        targets = torch.randint(0, classes, (steps * rows,), device=device)
    else:
        inputs = torch.randn(steps, rows, workload["features"], device=device)
        targets = torch.randn(steps * rows, 1, device=device)
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


def sampling(workload, device):
    """A text: each character drawn from the softmax and fed back."""
    rnn, head = model_of(workload, device)
    classes = workload["vocabulary"]

    def piece():
        with torch.inference_mode():
            state, last = None, torch.zeros(1, 1, dtype=torch.long, device=device)
            for _ in range(workload["characters"]):
                hidden, state = rnn(torch.nn.functional.one_hot(last, classes).float(), state)
                last = torch.multinomial(torch.softmax(head(hidden[0]), dim=-1), 1)

    return piece


def finish(device):
    """Waits for what has been handed to a card."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(piece, device, seconds, least=1, together=1):
    """Milliseconds of each piece, or of the mean of so many that are handed over one behind the other."""
    times = []
    finish(device)
    now = time.perf_counter()
    end = now + seconds
    while len(times) < least or now < end:
        for _ in range(together):
            piece()
        finish(device)
        after = time.perf_counter()
        times.append((after - now) * 1e3 / together)
        now = after
    return times


def cards():
    """The graphics cards that CUDA finds."""
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def set_precision(tf32):
    """Whether products on a card may take their factors in 19 bits."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


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
            workload, device = request["prepare"], torch.device(request["device"])
            torch.set_num_threads(request["threads"])
            set_precision(request["tf32"])
            piece = (training if workload["kind"] == "train" else sampling)(workload, device)
            times = measured(piece, device, WARM_UP_SECONDS, WARM_UP_PIECES)
            prepared.append((piece, device, request["threads"], request["tf32"], times[-1] >= LONG))
            say({"ready": len(prepared) - 1})
        elif "measure" in request:
            piece, device, threads, tf32, long = prepared[request["measure"]]
            torch.set_num_threads(threads)
            set_precision(tf32)
            if not long:
                piece()  # the caches have served others meanwhile
            say({"ms": measured(piece, device, request["seconds"], together=request["together"])})
        else:
            prepared.clear()
            gc.collect()
            say({})


say({"torch": torch.__version__, "blas": loaded_blas(), "cards": cards()})
serve()
