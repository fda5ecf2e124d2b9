"""Stopping a run: signals, the saves that a stop relies on, and the error that ends it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L

from res2net.console import Console
from res2net.engine.folder import RunFolder
from res2net.images.loader import LEFT_TO_THE_PARENT, TrainLoader

SECOND_SIGNAL_DELAY = 0.1
"""Minimum time in seconds between two Ctrl-C for the second one to stop the run at once."""

Handler = Callable[[int, FrameType | None], Any] | int | None


class StoppedError(Exception):
    """The run stopped after Ctrl-C or another signal; the message is the run's folder, where its state was saved."""


def current_handlers() -> dict[signal.Signals, Handler]:
    """The handlers of the signals that stop a run, without those that are ignored, as SIGHUP is under `nohup`."""
    if threading.current_thread() is not threading.main_thread():  # elsewhere the caller decides what a signal does
        return {}
    handlers = {number: signal.getsignal(number) for number in LEFT_TO_THE_PARENT}
    return {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}


@contextlib.contextmanager
def stop_at_once(path: Callable[[], Path]) -> Iterator[None]:
    """Let a signal within the block raise `StoppedError` with that path of a run, whose state has been saved."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError(path())

    before = current_handlers()
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class GracefulStop(L.Callback):
    """Saves the state after each epoch's training and at times within it; stops the run when a signal asks for it.

    On Ctrl-C, SIGTERM, SIGHUP or SIGUSR1, the step is finished, the state is saved and the run stops; during an
    evaluation the run stops after the batch, since the state was saved before it. A second Ctrl-C stops at once.

    It must be the last in the list of callbacks, so that the saved state includes what the others did after the step.
    """

    def __init__(self, folder: RunFolder, loader: TrainLoader, console: Console, save_minutes: float = 30.0) -> None:
        self.folder, self.loader, self.console = folder, loader, console
        self.save_seconds = 60 * save_minutes
        self.asked = False
        self._asked_at = 0.0
        self._saved_at = time.monotonic()
        self._validating = False
        self._before: dict[signal.Signals, Handler] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember the signal handlers before Lightning replaces them."""
        self._before = current_handlers()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Install the signal handlers, and start the time until the first save."""
        self._saved_at = time.monotonic()
        for number in self._before:
            signal.signal(number, self._request_stop)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set the epoch of the loader, which determines the order of its batches."""
        self.loader.batches.set_epoch(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the state if it is time to, and before an evaluation; stop if a signal asked for it."""
        if batch_idx + 1 == len(self.loader):
            if trainer.fit_loop.epoch_loop._should_check_val_epoch():
                trainer.save_checkpoint(self.folder.state)
                self._stop_if_asked()
            return  # else the state is saved at the end of the epoch, which is now
        between_updates = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if between_updates and (self.asked or time.monotonic() - self._saved_at >= self.save_seconds):
            trainer.save_checkpoint(self.folder.state)
            self._stop_if_asked()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that a stop now waits for a batch of the evaluation."""
        self._validating = True

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop within an evaluation, which a resumed run repeats."""
        self._stop_if_asked()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that a stop now waits for the current step."""
        self._validating = False

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop between epochs, or before the final evaluation; the state has been saved already."""
        self._stop_if_asked()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the epoch and the batch at which the loader has to resume."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        epoch = trainer.current_epoch
        ended = done >= len(self.loader)
        checkpoint["place"] = {"epoch": epoch + 1, "batch": 0} if ended else {"epoch": epoch, "batch": done}
        self._saved_at = time.monotonic()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Restore the original signal handlers."""
        self._restore_handlers()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Restore the original signal handlers."""
        self._restore_handlers()

    def _stop_if_asked(self) -> None:
        if self.asked:
            raise StoppedError(self.folder.path)

    def _restore_handlers(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked:
            # Programs such as `timeout` send a signal twice; only a person who presses again means "at once".
            if number == signal.SIGINT and now - self._asked_at > SECOND_SIGNAL_DELAY:
                raise KeyboardInterrupt
            return
        self.asked, self._asked_at = True, now
        until = "batch of the evaluation" if self._validating else "step"
        # Printing must never prevent saving. It fails if the same Ctrl-C ended the reader of the output, as in
        # `res2net train ... | tee log`, or if the signal arrived while another line was being printed.
        with contextlib.suppress(OSError, RuntimeError, SystemExit):
            self.console.print(f"Stopping after this {until} (press Ctrl-C again to stop at once) ...")
