"""Hugging Face's ALBERT, trained as its users train it: a program of its own, started by `peer_process.py`.

    PYTHON huggingface_peer.py SETTINGS.json

It imports PyTorch and transformers, and nothing of this project, so that any environment that has them will do. A
line with a question on standard input gets a line of JSON on standard output: "round" trains on the next batches,
"finish" gives the peak memory and a trace of the device; with "minutes" in the settings, it trains for so long and saves
the model. It ends when its standard input does. `huggingface_work.py` is another such program.
"""

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback

_TRACED_UPDATES = 3


class Peer:
    """`AlbertForPreTraining` with `torch.compile`, SDPA, autocast and the fused AdamW.

    Args:
      settings: dict, see `peer_process.play_peer`.
    """

    def __init__(self, settings):
        self._make_model(settings)
        self._batches = [self._load(path) for path in settings["batches"]]
        self._next = 0
        began = time.perf_counter()
        lengths = {batch["input_ids"].shape[1]: batch for batch in self._batches}
        for batch in lengths.values():
            for _ in range(2):  # the first compiles
                loss = self._update(batch)
        float(loss)
        self.setup_sec = time.perf_counter() - began
        if self._on_gpu:
            self._torch.cuda.reset_peak_memory_stats()

    def _make_model(self, settings):
        import torch
        from transformers import AlbertConfig, AutoModelForPreTraining

        self._torch, self._settings = torch, settings
        self._device = torch.device(settings["device"])
        torch.manual_seed(settings["seed"])
        torch.set_float32_matmul_precision("highest" if settings["precision"] == "float32" else "high")
        config = AlbertConfig(**settings["sizes"], classifier_dropout_prob=0.0, hidden_act="gelu_new")
        self._model = AutoModelForPreTraining.from_config(config, attn_implementation="sdpa").to(self._device)
        # Batches of one shape: every shape is compiled on its own.
        self._forward = torch.compile(self._model, dynamic=False) if settings["compile"] else self._model
        self._optimizer = torch.optim.AdamW(self._model.parameters(), settings["learning_rate"],
                                            weight_decay=settings["weight_decay"], fused=True)

    @property
    def _on_gpu(self):
        return self._device.type == "cuda"

    def _load(self, path):
        """A batch in memory that the GPU can copy from by itself."""
        import numpy

        with numpy.load(path) as file:
            tensors = {name: self._torch.from_numpy(file[name]) for name in file.files}
        return {name: tensor.pin_memory() for name, tensor in tensors.items()} if self._on_gpu else tensors

    def _update(self, batch):
        """Train on a batch; returns the loss as a tensor, without waiting for it."""
        torch, settings = self._torch, self._settings
        batch = {name: tensor.to(self._device, non_blocking=True) for name, tensor in batch.items()}
        kernels = contextlib.nullcontext()
        if settings["kernel"]:
            kernels = torch.nn.attention.sdpa_kernel(getattr(torch.nn.attention.SDPBackend, settings["kernel"]))
        with kernels:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
                loss = self._forward(**batch).loss
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings["clip_norm"])
        self._optimizer.step()
        return loss.detach()

    def _updates(self, count):
        """Train on the next batches; the loss of each is read while the next update runs. Returns the last one's."""
        before = None
        for _ in range(count):
            batch = self._batches[self._next % len(self._batches)]
            self._next += 1
            loss = self._update(batch)
            if before is not None:
                float(before)
            before = loss
        return float(before)

    def round(self):
        """Returns seconds, the loss, and which batches it trained on."""
        first, began = self._next, time.perf_counter()
        loss = self._updates(self._settings["steps"])
        seconds = time.perf_counter() - began
        numbers = [number % len(self._batches) for number in range(first, self._next)]
        return {"seconds": seconds, "loss": loss, "batches": numbers}

    def finish(self):
        """Returns the peak of the allocator's memory and, on a GPU, [name, start, microseconds] of what it did."""
        if not self._on_gpu:
            return {"peak": 0, "trace": []}
        torch = self._torch
        peak = torch.cuda.max_memory_allocated()
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            self._updates(_TRACED_UPDATES)
            torch.cuda.synchronize()
        return {"peak": peak, "trace": [
            [event.name, event.time_range.start, event.time_range.end - event.time_range.start]
            for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]}


class LearningPeer(Peer):
    """`Peer` from random weights, on batches padded to their longest example; the learning rate rises over 6 % of the
    time and falls to 0.

    Args:
      settings: dict, those of `Peer` without "steps", and "threads", "minutes"; "batches", a folder of arrays of all
        batches (`recipe_peer.write_batches`); and "model", the folder to save to.
    """

    def __init__(self, settings):
        import numpy

        began = time.perf_counter()
        self._make_model(settings)
        self._torch.set_num_threads(settings["threads"])
        folder = settings["batches"]
        self._arrays = {name[:-4]: numpy.load(os.path.join(folder, name), mmap_mode="r") for name in os.listdir(folder)}
        self.setup_sec = time.perf_counter() - began

    def _batch(self, number):
        batch = {name: array[number % len(array)] for name, array in self._arrays.items()}
        longest = int(batch["attention_mask"].sum(axis=1).max())
        return {name: self._torch.from_numpy((array[:, :longest] if array.ndim == 2 else array).astype("int64"))
                for name, array in batch.items()}

    def round(self):
        """Returns seconds, updates, real tokens, and the mean loss of the last 100 updates."""
        began, total = time.monotonic(), 60 * self._settings["minutes"]
        updates, tokens, losses, used = 0, 0, [], 0.0
        while used < total:
            batch = self._batch(updates)
            share = used / total
            for group in self._optimizer.param_groups:
                group["lr"] = self._settings["learning_rate"] * min(share / 0.06, (1 - share) / 0.94)
            losses.append(float(self._update(batch)))
            updates, tokens = updates + 1, tokens + int(batch["attention_mask"].sum())
            used = time.monotonic() - began
            if updates % 50 == 0:
                print(f"{used / 60:.1f} minutes, {updates} updates, loss {sum(losses[-50:]) / 50:.3f}", flush=True)
        last = losses[-100:]
        return {"seconds": used, "updates": updates, "real_tokens": tokens, "loss": sum(last) / len(last)}

    def finish(self):
        """Saves the model; returns an empty dict."""
        self._model.save_pretrained(self._settings["model"])
        return {}


def _questions():
    """A queue of the lines of standard input; this process ends with them, even while it compiles."""
    lines = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(line.strip())
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def serve(path, make_peer):
    """Answer questions until standard input ends.

    Args:
      path: of the JSON file of the settings.
      make_peer: function of the settings whose result has `setup_sec`, `round()` and `finish()`, the last two with
        answers that JSON can hold.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    questions = _questions()
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    try:
        peer = make_peer(settings)
        answer({"setup_sec": peer.setup_sec, "versions": _versions()})
        while True:
            answer(peer.round() if questions.get() == "round" else peer.finish())
    except Exception as error:  # said by the parent
        traceback.print_exc(limit=-3)
        answer({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"})
        sys.exit(1)


def _versions():
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__}


if __name__ == "__main__":
    sys.path.pop(0)  # this folder's names are common ones
    serve(sys.argv[1], lambda settings: (LearningPeer if "minutes" in settings else Peer)(settings))
