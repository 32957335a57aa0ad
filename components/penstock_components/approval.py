"""A node at which a pipeline waits until a person has approved."""

from __future__ import annotations

from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import channel, component_spec, standard_artifacts
from tfx.types.artifact import Artifact, Property, PropertyType


class Approval(Artifact):
    """A person's consent; its payload is `approval.json` with the same facts.

    Properties:
        approved_by: who gave it.
        comment: what they said; may be empty.
    """

    TYPE_NAME = "Approval"
    PROPERTIES = {  # noqa: RUF012
        "approved_by": Property(type=PropertyType.STRING),
        "comment": Property(type=PropertyType.STRING),
    }


class _Executor(base_executor.BaseExecutor):
    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        raise NotImplementedError(
            "an approval is waited for by Penstock's scheduler; another runner cannot ask a person. Leave the node out."
        )


class ManualApprovalSpec(component_spec.ComponentSpec):
    """What `ManualApproval` takes and makes."""

    PARAMETERS = {"message": component_spec.ExecutionParameter(type=str, optional=True)}  # noqa: RUF012
    INPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
    }
    OUTPUTS = {"approval": component_spec.ChannelParameter(type=Approval)}  # noqa: RUF012


class ManualApproval(base_component.BaseComponent):
    """Waits until a person approves or rejects; a rejection fails the node, and what comes after it does not run.

    The inputs are what there is to be approved, for the lineage; nodes that must wait name this one in `after`, or
    take its output.

    Args:
        message: what the person is asked.
        model: the model in question.
        model_blessing: what an evaluation says of it.
        evaluation: the evaluation itself.
    """

    SPEC_CLASS = ManualApprovalSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(_Executor)

    def __init__(
        self,
        message: str | None = None,
        model: channel.BaseChannel | None = None,
        model_blessing: channel.BaseChannel | None = None,
        evaluation: channel.BaseChannel | None = None,
    ):
        super().__init__(
            ManualApprovalSpec(
                message=message,
                model=model,
                model_blessing=model_blessing,
                evaluation=evaluation,
                approval=channel.Channel(type=Approval),
            )
        )
