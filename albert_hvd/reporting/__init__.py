"""Runs and results to look at: curves and bars as PNG files and one report.html that needs no other file.

    run_reader.py    a run's folder -> `Run`
    curves.py        runs -> `Chart`s of numbers
    drawing.py       a chart -> PNG, or SVG that takes its colours from the page
    page.py          HTML by elements, never by pasted text; the style of the page
    sections.py      runs -> tables
    mask_samples.py  the model's guesses for masked words
    report.py        all of it: what `bin/plot` calls

    comparison_reader.py   results of bin/finetune, baselines and `published.py` -> `Comparison`
    bars.py                a figure of all models -> `BarChart` -> drawing
    comparison.py          all of it: what `bin/plot --kind=comparison` calls
"""
