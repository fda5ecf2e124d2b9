"""The command line: `res2net VERB [TASK] SOURCE`, a thin table of commands.

Nothing is imported before it is needed, so that `res2net --help` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from res2net._version import __version__
from res2net.errors import InputError, nearest


@dataclass(frozen=True)
class Command:
    """A verb: the function that does it, as `module:function`, and a line about it."""

    target: str
    about: str


COMMANDS = {
    "quickstart": Command("res2net.commands.quickstart:run", "train, compare and explain two small networks, now"),
    "models": Command("res2net.commands.models:run", "list the models"),
    "info": Command("res2net.commands.info:run", "print a model's parameters, MACs, memory and receptive fields"),
    "solve-width": Command(
        "res2net.commands.solve_width:run", "find the base width that costs as much as another model"
    ),
    "train": Command("res2net.commands.train:run", "train a network"),
    "sweep": Command("res2net.commands.sweep:run", "train several models with several seeds, and compare them"),
    "mini-paper": Command("res2net.commands.mini_paper:run", "compare Res2Net and ResNet on six tasks, in one report"),
    "runs": Command("res2net.commands.runs:run", "list and compare runs"),
    "report": Command("res2net.commands.runs:report", "write the report of an interrupted run"),
    "eval": Command("res2net.commands.evaluate:run", "evaluate trained or published weights"),
    "predict": Command("res2net.commands.predict:run", "predict images or folders of images"),
    "compare": Command("res2net.commands.compare:run", "draw the results of several models side by side"),
    "cam": Command("res2net.commands.cam:run", "draw and score what classifiers look at, side by side"),
    "recipes": Command("res2net.commands.recipes:run", "list runs that are described completely, or write one as YAML"),
    "reproduce": Command("res2net.commands.recipes:reproduce", "repeat a recipe, beside baselines and goals"),
    "export": Command("res2net.commands.export:run", "export a network to ONNX Runtime, OpenVINO or torch"),
    "bench": Command("res2net.commands.bench:run", "measure the speed of models on every runtime"),
    "data": Command("res2net.commands.data:run", "check a data set: contents, samples, problems"),
    "weights": Command(
        "res2net.commands.weights:run", "list weights that ship and published ones, convert between formats"
    ),
}

HELP = """usage: res2net VERB [TASK] SOURCE [options]

{commands}

TASK is `classify` unless named. `res2net VERB --help` lists the options of a verb.

  res2net quickstart
  res2net train PATH/TO/IMAGES --model res2net50_26w_4s
  res2net predict PATH/TO/IMAGE.jpg --weights runs/NAME/best.safetensors
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    That is 0; 1 when a run was stopped and saved, 130 when anything else was; 2 for a mistake of the user.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace")  # where the terminal's encoding lacks a character
    if not given or given[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {verb:{width}}  {command.about}" for verb, command in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)))
        return 0
    if given[0] in ("-V", "--version"):
        print(f"res2net {__version__}")
        return 0
    verb, rest = given[0], given[1:]
    try:
        if verb not in COMMANDS:
            hint = nearest(verb, COMMANDS) or "see `res2net --help`"
            raise InputError(f"There is no verb {verb!r}: {hint} (verbs: {', '.join(COMMANDS)}).")
        module, function = COMMANDS[verb].target.split(":")
        return int(getattr(importlib.import_module(module), function)(rest) or 0)
    except InputError as error:
        print(f"res2net: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nres2net: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # who reads the output has seen enough
        return 0
    except OSError as error:
        # A path that cannot even be looked at: too long a name, a folder without permission, a disk that is gone.
        if error.filename is None:
            raise
        problem = InputError(f"Cannot use {error.filename} ({error.strerror}): check its name and permissions.")
        print(f"res2net: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
