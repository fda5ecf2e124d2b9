"""The bars of a run, as a terminal shows them."""

import io

import lightning as L
import pytest
from rich.console import Console

from res2net.engine.folder import RunFolder
from res2net.engine.progress import RunProgress
from res2net.engine.stop import StoppedError
from res2net.engine.train import train


class Bars(L.Callback):
    """Notes what the bars say after each batch: name, done, of how many, note."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        tasks = next(one for one in trainer.callbacks if isinstance(one, RunProgress)).bar.tasks
        self.seen.append([(bar.description, bar.completed, bar.total, bar.fields["note"]) for bar in tasks])


@pytest.fixture
def bars():
    return Bars()


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def without_notes(bars):
    return [bar[:3] for bar in bars]


def test_bars_go_from_the_first_to_the_last_batch(small_run, screen, bars):
    train(small_run(), console=screen, callbacks=[bars])
    assert without_notes(bars.seen[0]) == [("run", 1, 10), ("epoch 1/2", 1, 5)]
    assert without_notes(bars.seen[-1]) == [("run", 10, 10), ("epoch 2/2", 5, 5)]
    assert "images/s, loss " in screen.file.getvalue()


def test_bars_of_a_resumed_run_go_on(small_run, console, screen, bars, ctrl_c):
    config = small_run(optim={"epochs": 3})
    with pytest.raises(StoppedError):
        train(config, console=console, callbacks=[ctrl_c(7)])
    train(config, resume=RunFolder.existing(config.out), console=screen, callbacks=[bars])
    assert without_notes(bars.seen[0]) == [("run", 8, 15), ("epoch 2/3", 3, 5)]
    assert without_notes(bars.seen[-1]) == [("run", 15, 15), ("epoch 3/3", 5, 5)]
    assert not any(note.startswith("0 images/s") for _, _, _, note in (now[1] for now in bars.seen))


def test_the_loss_is_that_of_a_batch_also_where_gradients_are_added_up(small_run, console, bars):
    for accumulate in (1, 2):
        config = small_run(str(accumulate), optim={"epochs": 1, "accumulate": accumulate})
        train(config, console=console, callbacks=[bars])
    one, two = (bars.seen[index][1][3].split("loss ")[1] for index in (0, 5))
    assert one == two
