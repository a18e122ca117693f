"""Results as text."""


def label_table(metrics):
    """Precision, recall, F1 and support of each label: list of lines."""
    width = max(map(len, metrics["labels"]))
    lines = [f"{'':<{width}}  precision  recall      f1  support"]
    for name, values in metrics["labels"].items():
        lines.append(f"{name:<{width}}  {values['precision']:9.4f}  {values['recall']:6.4f}  {values['f1']:6.4f}  "
                     f"{values['support']:7}")
    return lines


def confusion_table(metrics):
    """The confusion matrix, true labels in rows, predicted ones in columns: list of lines."""
    names = list(metrics["labels"])
    corner = "true / predicted"
    first = max(len(corner), *map(len, names))
    widths = [max(len(name), len(str(max(column)))) for name, column in
              zip(names, zip(*metrics["confusion"], strict=True), strict=True)]
    lines = [f"{corner:<{first}}  " + "  ".join(f"{name:>{w}}" for name, w in zip(names, widths, strict=True))]
    for name, row in zip(names, metrics["confusion"], strict=True):
        lines.append(f"{name:<{first}}  " + "  ".join(f"{n:>{w}}" for n, w in zip(row, widths, strict=True)))
    return lines


def summary_table(result):
    """A line for the model, mean and spread over its seeds, and one for each baseline: list of lines."""
    parts = [part for part in ("valid", "test") if result["summary"][part]]
    rows = [["", *(f"{part} {name}" for part in parts for name in ("accuracy", "macro-F1")), "parameters"]]
    rows.append([f"{result['name']} ({len(result['seeds'])} seed{'s' * (len(result['seeds']) > 1)})",
                 *(_mean_and_spread(result["summary"][part][name]) for part in parts
                   for name in ("accuracy", "macro_f1")), str(result["parameters"])])
    rows += [[baseline["name"], *(f"{baseline[part][name]:.4f}" for part in parts
                                  for name in ("accuracy", "macro_f1")), str(baseline["parameters"])]
             for baseline in result["baselines"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) if i else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows]


def _mean_and_spread(values):
    spread = values["spread"]
    return f"{values['mean']:.4f}" + (f" ± {spread:.4f}" if spread is not None else "")
