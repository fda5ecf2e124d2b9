"""What the tasks have in common whose checkpoints hold a backbone and its head as one network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import nn

from res2net.backbones.base import Backbone
from res2net.errors import InputError
from res2net.images.sources import DataSource
from res2net.nn import freeze_norms
from res2net.options import from_dict
from res2net.task.base import Task
from res2net.weights import Checkpoint, Preprocessing
from res2net.zoo import create_model, preprocessing_of

__all__ = ["HeadedTask"]


class HeadedTask(Task):
    """A backbone with a head: a task says what the data decide (`facts`) and puts a network around a backbone.

    Args:
        model: the network; its part `backbone` makes the features.
        preprocessing: how images are prepared.
        options: an instance of `Options`.
        facts: what `facts` gives.
    """

    predicted_together = 1  # they are seen in their own size, which may be that of a photo or of a scan

    known_facts: ClassVar[Sequence[str]] = ("class_names",)
    """What `facts` names."""
    tells: ClassVar[Sequence[str]] = ()
    """What an exported network has to tell of these."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = preprocessing
        self.options = options
        self.known = {name: facts[name] for name in self.known_facts if name in facts}
        """What the data of the training decided, ready for JSON."""
        self.class_names = tuple(facts["class_names"])

    @classmethod
    def facts(cls, source: DataSource) -> dict[str, Any]:
        """What the data decide, ready for JSON; `class_names` at least."""
        return {"class_names": list(source.class_names)}

    @classmethod
    def network(cls, backbone: Backbone, options: Any, facts: Mapping[str, Any]) -> nn.Module:
        """The network around a backbone; its part `backbone` is that."""
        raise NotImplementedError

    @classmethod
    def backbone_options(cls, options: Any) -> dict[str, Any]:
        """What the task asks of its backbone, such as an output stride."""
        return {}

    @classmethod
    def frozen(cls, backbone: Backbone, options: Any) -> Backbone:
        """The backbone, of which no more is trained than the options say."""
        if options.freeze_norms:
            freeze_norms(backbone)
        return backbone.freeze(options.freeze)

    @classmethod
    def kind(cls, options: Any) -> type[Any]:
        """The class of the task with these options, where there are several."""
        return cls

    @classmethod
    def around(cls, backbone: Backbone, preprocessing: Preprocessing, options: Any, facts: Mapping[str, Any]) -> Self:
        """The task with a fresh head on a backbone."""
        kind = cls.kind(options)
        task: Self = kind(kind.network(backbone, options, facts), preprocessing, options, facts)
        return task

    @classmethod
    def build(
        cls, create: Callable[..., Backbone], source: DataSource, preprocessing: Preprocessing, options: Any
    ) -> Self:
        """The task for a source, with a fresh head.

        Raises:
            InputError: the backbone is not for signals of the task's dimensions, or does not fit its head.
        """
        backbone = create(num_classes=0, **cls.backbone_options(options))
        if backbone.dims not in cls.dims:
            wanted = " or ".join(map(str, cls.dims))
            raise InputError(
                f"{backbone.variant_name} is for signals of {backbone.dims} dimensions, and the task {cls.name} needs "
                f"one for {wanted}: choose another with --model."
            )
        return cls.around(backbone, preprocessing, options, cls.facts(source))

    @classmethod
    def restore(
        cls,
        model: Any,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        said: Mapping[str, Any] | None = None,
    ) -> Self:
        """The task around an exported network; `InputError` where that gives something else, or too little is said."""
        if said is None:
            raise InputError(f"A backbone alone {cls.alone()}: give a file of `res2net train {cls.name}`.")
        options = from_dict(cls.Options, said.get("task_options"), "What the exported network tells of its task")
        kind = cls.kind(options)
        if tuple(said["outputs"]) != tuple(kind.outputs):
            raise InputError(
                f"The exported network gives {', '.join(said['outputs'])}, and {cls.name} needs "
                f"{', '.join(kind.outputs)}: export it again."
            )
        for name in kind.tells:
            if not said.get(name):
                raise InputError(f"The exported network does not tell its {name}: export it again.")
        facts = {**said, "class_names": list(class_names)}
        size: Any = tuple(int(side) for side in said["input_size"])
        task: Self = kind(kind.fixed(model, size, facts), preprocessing, options, facts)
        task.fit(size)
        return task.eval()

    @classmethod
    def alone(cls) -> str:
        """What a backbone without the head cannot do, as of "A backbone alone ..."."""
        return f"does not {cls.name}"

    @classmethod
    def fixed(cls, network: Any, size: tuple[int, ...], facts: Mapping[str, Any]) -> Any:
        """An exported network, whose input has that size, as the model; by default itself."""
        return network

    @classmethod
    def from_checkpoint(cls, name: str, checkpoint: Checkpoint) -> Self:
        """The trained network."""
        said = checkpoint.metadata
        if said.get("task") != cls.name:
            raise InputError(
                f"{checkpoint.path} holds no network for {cls.name}: give a file of `res2net train {cls.name}`, "
                f"or start one from this backbone with `res2net train {cls.name} --weights`."
            )
        options = from_dict(cls.Options, said.get("task_options"), f"What {checkpoint.path} tells of its task")
        backbone = create_model(name, **said["options"])
        task = cls.around(backbone, preprocessing_of(checkpoint) or Preprocessing(), options, said)
        try:
            task.model.load_state_dict(checkpoint.tensors)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise InputError(f"{checkpoint.path} does not hold the network it tells of ({reason}).") from error
        return task.eval()

    @property
    def backbone(self) -> Backbone:
        """The part of the network that makes features."""
        backbone = self.model.backbone
        assert isinstance(backbone, Backbone)
        return backbone

    def metadata(self) -> dict[str, Any]:
        """The options of the task, and what its data decided."""
        return {"task_options": dataclasses.asdict(self.options), **self.known}
