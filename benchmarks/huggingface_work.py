"""Hugging Face's ALBERT at what users do, as they do it: a program like `huggingface_peer.py`.

    PYTHON huggingface_work.py SETTINGS.json

"round" does all of the work once; "finish" writes what came out to a file, and gives the peak memory. For finetune that
is what the model says before it is trained.
"""

import sys
import time

_NO_LABEL = -100


class Encode:
    """Vectors of texts: `AutoModel`, batches padded to their longest text, the mean over its positions."""

    def __init__(self, settings):
        import torch
        from transformers import AutoModel, AutoTokenizer

        self._torch, self._settings = torch, settings
        self._tokenizer = AutoTokenizer.from_pretrained(settings["folder"])
        self._model = AutoModel.from_pretrained(settings["folder"]).eval()

    def run(self, texts):
        size = self._settings["batch_size"]
        vectors = [self._vectors(texts[start:start + size]) for start in range(0, len(texts), size)]
        return self._torch.cat(vectors).numpy()

    def _vectors(self, texts):
        batch = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with self._torch.inference_mode():
            outputs = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            return (outputs * mask).sum(dim=1) / mask.sum(dim=1)

    def results(self, vectors):
        return {"values": vectors}


class Pipeline:
    """A pipeline of transformers with batch_size."""

    def __init__(self, task, settings, **choices):
        from transformers import pipeline

        self._pipeline = pipeline(task, settings["folder"], device="cpu", batch_size=settings["batch_size"], **choices)

    def run(self, texts):
        answers = self._pipeline(texts)
        return answers if len(texts) > 1 or isinstance(answers[0], list) else [answers]  # of one text: its own answer


class FillMask(Pipeline):
    """The likeliest pieces of masks."""

    def __init__(self, settings):
        super().__init__("fill-mask", settings, top_k=settings["top_k"])

    def results(self, answers):
        masks = [mask for answer in answers for mask in (answer if isinstance(answer[0], list) else [answer])]
        pieces = self._pipeline.tokenizer.convert_ids_to_tokens
        return {"values": [[one["score"] for one in mask] for mask in masks],
                "choices": [pieces([one["token"] for one in mask]) for mask in masks]}


class Classify(Pipeline):
    """The probabilities of the labels of texts, or the value of a regression."""

    def __init__(self, settings):
        super().__init__("text-classification", settings, top_k=None)

    def run(self, texts):
        return self._pipeline(texts, truncation=True)

    def results(self, answers):
        labels = self._pipeline.model.config.id2label
        shares = [{one["label"]: one["score"] for one in answer} for answer in answers]
        return {"values": [[share[labels[number]] for number in range(len(labels))] for share in shares]}


class Tag(Pipeline):
    """The tag of each word's first piece; words have one blank between."""

    def __init__(self, settings):
        self._texts = settings["texts"]
        super().__init__("token-classification", settings, ignore_labels=[])

    def results(self, answers):
        tags = [tag for text, pieces in zip(self._texts, answers, strict=True) for tag in _tags(text, pieces)]
        return {"values": [[] for _ in tags], "choices": [[tag] for tag in tags]}


def _tags(text, pieces):
    """The tag of the first piece of each word: a piece may be the blank in front of it."""
    tags, start, number = [], 0, 0
    for word in text.split(" "):
        while number < len(pieces) and pieces[number]["end"] < start:
            number += 1
        tags.append(pieces[number]["entity"] if number < len(pieces) else "")
        start += len(word) + 1
    return tags


class FineTune:
    """An epoch of a plain loop: a collator that pads to the longest row, AdamW, clipping, linear warmup and decay.

    Rows come in random order, or grouped by length as the Trainer does it when it is told to.
    """

    def __init__(self, settings):
        import torch
        from transformers import (AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification,
                                  AutoTokenizer, DataCollatorForTokenClassification, DataCollatorWithPadding,
                                  get_linear_schedule_with_warmup)

        self._torch, self._settings, self._rows = torch, settings, settings["texts"]
        torch.manual_seed(settings["seed"])
        folder, dropout, is_tagging = settings["folder"], settings["dropout"], settings["is_tagging"]
        config = AutoConfig.from_pretrained(folder, hidden_dropout_prob=dropout, classifier_dropout_prob=dropout)
        kind = AutoModelForTokenClassification if is_tagging else AutoModelForSequenceClassification
        self._model = kind.from_pretrained(folder, config=config)
        collator = DataCollatorForTokenClassification if is_tagging else DataCollatorWithPadding
        self._collate = collator(AutoTokenizer.from_pretrained(folder))
        self._loader = self._make_loader()
        self._optimizer = torch.optim.AdamW(self._groups(), settings["learning_rate"], fused=True)
        steps = settings["rounds"] * len(self._loader)
        self._schedule = get_linear_schedule_with_warmup(self._optimizer, round(settings["warmup"] * steps), steps)
        self._first_shares = self._shares()

    def _make_loader(self):
        data, size = self._torch.utils.data, self._settings["batch_size"]
        if not self._settings["sorted"]:
            return data.DataLoader(self._rows, size, shuffle=True, collate_fn=self._collate)
        from transformers.trainer_pt_utils import LengthGroupedSampler

        sampler = LengthGroupedSampler(size, lengths=[len(row["input_ids"]) for row in self._rows])
        return data.DataLoader(self._rows, size, sampler=sampler, collate_fn=self._collate)

    def _groups(self):
        """As the Trainer has it: biases and layer norms do not decay."""
        named = list(self._model.named_parameters())
        decays = {name: parameter.ndim > 1 for name, parameter in named}
        return [{"params": [parameter for name, parameter in named if decays[name] is decay],
                 "weight_decay": self._settings["weight_decay"] * decay} for decay in (True, False)]

    def _shares(self):
        """The probabilities of the labels of all that has one, in the order of the rows."""
        torch, found = self._torch, []
        self._model.eval()
        for start in range(0, len(self._rows), self._settings["batch_size"]):
            batch = self._collate([dict(row) for row in self._rows[start:start + self._settings["batch_size"]]])
            with torch.inference_mode():
                shares = torch.softmax(self._model(**batch).logits, dim=-1)
            found.append(shares[batch["labels"] != _NO_LABEL] if shares.ndim == 3 else shares)
        return torch.cat(found).numpy()

    def warm_up(self):
        """Two updates, which would be made again in the first round."""
        for _, batch in zip(range(2), self._loader):
            self._update(batch)

    def run(self, rows):
        """An epoch; returns its loss, the mean over all that has a label."""
        del rows  # the loader has them
        self._model.train()
        total = count = 0
        for batch in self._loader:
            labelled = int((batch["labels"] != _NO_LABEL).sum())
            total += self._update(batch) * labelled
            count += labelled
        return total / count

    def _update(self, batch):
        self._model.train()
        loss = self._model(**batch).loss
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._settings["clip_norm"])
        self._optimizer.step()
        self._schedule.step()
        return float(loss.detach())

    def results(self, loss):
        del loss  # dropout is another's: what can be compared is what came before
        return {"values": self._first_shares}


WORKS = {"encode": Encode, "fill_mask": FillMask, "classify": Classify, "tag": Tag, "finetune": FineTune}


class Peer:
    """One of `WORKS`, timed.

    Args:
      settings: dict of `work`, a name in WORKS; `folder`, the model; `texts`, of finetune rows of `input_ids` and
        `labels`; `batch_size`; `sorted`, whether texts of similar length come together; `threads`; `results`, the file
        to write; and what the work wants.
    """

    def __init__(self, settings):
        began = time.perf_counter()
        import torch
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.set_num_threads(settings["threads"])
        self._settings, self._texts = settings, settings["texts"]
        self._work = WORKS[settings["work"]](settings)
        if settings["work"] == "finetune":
            self._work.warm_up()
        else:
            self._work.run(self._texts[:settings["batch_size"]])
        self.setup_sec = time.perf_counter() - began

    def round(self):
        """Returns seconds, and the loss of a training."""
        texts, order = self._texts, None
        began = time.perf_counter()
        if self._settings["sorted"] and self._settings["work"] != "finetune":
            order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
            texts = [texts[number] for number in order]
        answers = self._work.run(texts)
        if order:
            places = {number: place for place, number in enumerate(order)}
            answers = [answers[places[number]] for number in range(len(order))]
        self._answers = answers
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "loss": answers if isinstance(answers, float) else None}

    def finish(self):
        """Returns the peak memory, and writes what came out of the last round."""
        import numpy

        peak = _peak_bytes()
        numpy.savez(self._settings["results"], **self._work.results(self._answers))
        return {"peak": peak}


def _peak_bytes():
    """The largest resident size of this process so far."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


if __name__ == "__main__":
    from huggingface_peer import serve

    sys.path.pop(0)  # this folder's names are common ones
    serve(sys.argv[1], Peer)
