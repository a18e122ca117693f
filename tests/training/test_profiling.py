"""--profile_steps in one process; under horovodrun it is tests/parallel's."""

import pytest
import tensorflow as tf

from albert_hvd.errors import InputError
from albert_hvd.training.profiling import StepProfiler, parse_profile_steps


@pytest.mark.parametrize("text, steps", [
    (None, None), ("", None), ("10:20", (10, 20)), ("5:5", (5, 5)), ("7:900", (7, 900))])
def test_steps_are_parsed(text, steps):
    assert parse_profile_steps(text, num_train_steps=100) == steps


@pytest.mark.parametrize("text", [
    "10", "10:", ":20", "20:10", "0:5", "-1:5", "1:2:3", "a:b", "1 : 2", "10,20", "1:" + "9" * 5000])
def test_other_texts_are_refused(text):
    with pytest.raises(InputError) as error:
        parse_profile_steps(text, num_train_steps=100)
    assert str(error.value).startswith(f"profile_steps={text}: ") and "10:20" in str(error.value)


def test_steps_after_the_end_are_refused():
    with pytest.raises(InputError, match=r"^profile_steps=101:110 .* \(num_train_steps=100\)"):
        parse_profile_steps("101:110", num_train_steps=100)


class Recorder:
    """Stands for TensorFlow's profiler, of which a process has one."""

    def __init__(self, monkeypatch):
        self.calls = []
        module = tf.profiler.experimental
        monkeypatch.setattr(module, "start", lambda folder: self.calls.append(("start", folder)))
        monkeypatch.setattr(module, "stop", lambda: self.calls.append("stop"))
        monkeypatch.setattr(module, "Trace", self.trace)

    def trace(self, name, step_num, _r):
        recorder = self

        class Trace:
            def __enter__(self):
                recorder.calls.append(step_num)

            def __exit__(self, *_):
                recorder.calls.append(f"end {step_num}")
        return Trace()


def run(profiler, steps):
    for step in steps:
        profiler.before(step)
        profiler.after(step)


@pytest.mark.parametrize("steps, traced", [
    (range(1, 8), [3, 4, 5]),  # from before the first to after the last
    (range(4, 8), [4, 5]),  # resumed in between
    (range(1, 5), [3, 4]),  # stopped in between
    (range(6, 8), []),  # resumed afterwards
])
def test_the_steps_asked_for_are_profiled(monkeypatch, tmp_path, steps, traced):
    recorder = Recorder(monkeypatch)
    profiler = StepProfiler(str(tmp_path), (3, 5), is_rank_0=True)
    run(profiler, steps)
    if 5 in steps:
        assert recorder.calls[-1:] == (["stop"] if traced else [])  # written at once, not at the end of the run
    profiler.close()
    expected = [call for step in traced for call in (step, f"end {step}")]
    assert recorder.calls == ([("start", str(tmp_path / "profile")), *expected, "stop"] if traced else [])


def test_a_skipped_update_is_tried_again(monkeypatch, tmp_path):
    recorder = Recorder(monkeypatch)
    profiler = StepProfiler(str(tmp_path), (1, 1), is_rank_0=True)
    profiler.before(1)
    profiler.after(0)
    run(profiler, [1, 2])
    assert recorder.calls[1:] == [1, "end 1", 1, "end 1", "stop"]


def test_an_error_in_a_step_leaves_a_profile(monkeypatch, tmp_path):
    recorder = Recorder(monkeypatch)
    profiler = StepProfiler(str(tmp_path), (1, 5), is_rank_0=True)
    profiler.before(1)
    profiler.close()
    assert recorder.calls[1:] == [1, "end 1", "stop"]


@pytest.mark.parametrize("steps, is_rank_0", [(None, True), ((1, 2), False)])
def test_nothing_is_written_unasked(monkeypatch, tmp_path, steps, is_rank_0):
    recorder = Recorder(monkeypatch)
    profiler = StepProfiler(str(tmp_path), steps, is_rank_0)
    run(profiler, [1, 2, 3])
    profiler.close()
    assert recorder.calls == [] and not list(tmp_path.iterdir())
