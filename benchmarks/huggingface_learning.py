"""Hugging Face's ALBERT that learns for some minutes, as its users pre-train it: a program like `huggingface_peer.py`.

    PYTHON huggingface_learning.py SETTINGS.json

"round" trains until the minutes are over and saves the model; "finish" has nothing to add.
"""

import os
import sys
import time


class Peer:
    """`AlbertForPreTraining` from random weights, AdamW, clipping, batches padded to their longest example; the learning
    rate rises over 6 % of the time and falls to 0.

    Args:
      settings: dict with "sizes", "seed", "threads", "minutes", "learning_rate", "weight_decay", "clip_norm"; "batches",
        a folder of arrays of all batches (`recipe_peer.write_batches`); and "model", the folder to save to.
    """

    def __init__(self, settings):
        import numpy
        import torch
        from transformers import AlbertConfig, AlbertForPreTraining

        began = time.perf_counter()
        self._torch, self._settings = torch, settings
        torch.set_num_threads(settings["threads"])
        torch.manual_seed(settings["seed"])
        self._model = AlbertForPreTraining(AlbertConfig(**settings["sizes"], classifier_dropout_prob=0.0,
                                                        hidden_act="gelu_new"))
        self._optimizer = torch.optim.AdamW(self._model.parameters(), settings["learning_rate"],
                                            weight_decay=settings["weight_decay"], fused=True)
        folder = settings["batches"]
        self._arrays = {name[:-4]: numpy.load(os.path.join(folder, name), mmap_mode="r") for name in os.listdir(folder)}
        self.setup_sec = time.perf_counter() - began

    def _batch(self, number):
        batch = {name: array[number % len(array)] for name, array in self._arrays.items()}
        longest = int(batch["attention_mask"].sum(axis=1).max())
        return {name: self._torch.from_numpy((array[:, :longest] if array.ndim == 2 else array).astype("int64"))
                for name, array in batch.items()}

    def round(self):
        """Returns seconds, updates, real tokens, and the losses of the last 100 updates' mean."""
        torch, settings = self._torch, self._settings
        began, total = time.monotonic(), 60 * settings["minutes"]
        updates, tokens, losses, used = 0, 0, [], 0.0
        while used < total:
            batch = self._batch(updates)
            share = used / total
            for group in self._optimizer.param_groups:
                group["lr"] = settings["learning_rate"] * min(share / 0.06, (1 - share) / 0.94)
            loss = self._model(**batch).loss
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings["clip_norm"])
            self._optimizer.step()
            losses.append(float(loss.detach()))
            updates, tokens = updates + 1, tokens + int(batch["attention_mask"].sum())
            used = time.monotonic() - began
            if updates % 50 == 0:
                print(f"{used / 60:.1f} minutes, {updates} updates, loss {sum(losses[-50:]) / 50:.3f}", flush=True)
        self._model.save_pretrained(settings["model"])
        last = losses[-100:]
        return {"seconds": used, "updates": updates, "real_tokens": tokens, "loss": sum(last) / len(last)}

    def finish(self):
        """Returns an empty dict."""
        return {}


if __name__ == "__main__":
    from huggingface_peer import serve

    sys.path.pop(0)  # this folder's names are common ones
    serve(sys.argv[1], Peer)
