"""The timing loop, with a clock that is told what time it is."""

import pytest

from res2net.bench import Samples, Spread, interleaved, ratio


class Clock:
    """Time passes only where a case says so."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def takes(self, name, seconds):
        def case():
            self.order.append(name)
            self.now += seconds

        return case


def test_cases_run_in_turn_and_every_other_round_backwards():
    clock = Clock()
    cases = {name: clock.takes(name, 1.0) for name in "abc"}
    found, finished = interleaved(cases, 3, clock=clock)
    assert finished
    assert "".join(clock.order[:6]) == "aabbcc"  # once to begin with, and once to see how long it takes
    assert "".join(clock.order[6::2]) == "".join(clock.order[7::2]) == "abccbaabc"  # untimed and timed
    assert all(list(samples.seconds.values()) == [1.0, 1.0, 1.0] for samples in found.values())


def test_what_is_fast_is_called_several_times_in_a_row():
    clock = Clock()
    found, _ = interleaved({"fast": clock.takes("fast", 0.004), "slow": clock.takes("slow", 1.0)}, 2, clock=clock)
    assert found["fast"].calls == 75  # 0.3 seconds
    assert found["slow"].calls == 1
    assert found["fast"].spread.median == pytest.approx(0.004)
    assert clock.order.count("fast") == 2 + 2 * (38 + 75)


def test_a_case_that_takes_too_long_sits_out():
    clock = Clock()
    cases = {"long": clock.takes("long", 6.0), "short": clock.takes("short", 1.0)}
    found, finished = interleaved(cases, 4, seconds=10, clock=clock)
    assert finished
    assert list(found["long"].seconds) == [0]
    assert list(found["short"].seconds) == [0, 1, 2, 3]


def test_what_was_measured_is_kept_when_it_is_interrupted():
    clock = Clock()
    left = 9

    def case():
        nonlocal left
        left -= 1
        clock.now += 1
        if not left:
            raise KeyboardInterrupt

    found, finished = interleaved({"a": clock.takes("a", 1.0), "b": case}, 5, clock=clock)
    assert not finished
    assert list(found["b"].seconds) == [0, 1, 2]
    assert list(found["a"].seconds) == [0, 1, 2]


def test_ratios_are_of_the_same_round():
    slower = Samples(seconds={0: 2.0, 1: 4.0, 3: 9.0})
    base = Samples(seconds={0: 1.0, 1: 2.0, 2: 5.0})
    assert ratio(slower, base) == Spread(2.0, 2.0, 2.0, 2.0)  # a machine at half its speed changes nothing
    assert ratio(Samples(seconds={7: 1.0}), base) is None


def test_a_spread():
    spread = Spread.of([5.0, 1.0, 2.0, 3.0, 4.0])
    assert spread == Spread(3.0, 2.0, 4.0, 1.0)
    assert spread.relative == pytest.approx(2 / 3)


def test_a_gpu_is_waited_for_before_each_look_at_the_clock():
    seen = []
    interleaved({"a": lambda: seen.append("run")}, 1, wait=lambda: seen.append("wait"), shortest=0)
    assert seen == ["wait", "run", "wait"] * 4
