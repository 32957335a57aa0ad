"""Pipeline options for each Beam runner. The runner is always named: Beam's own default would download one."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.errors import PenstockError

# Beam's worker processes start fresh, so they need the stand-in module as a plug-in.
_PLUGIN = "--beam_plugin=penstock.engine.tfdv_shim"
_PROFILES: dict[str, tuple[str, ...]] = {
    "direct": ("--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"),
    "direct-multi": (
        "--runner=DirectRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=0",
        _PLUGIN,
    ),
}
AVAILABLE = tuple(_PROFILES)


def pipeline_args(runner: str, extra: Sequence[str] = ()) -> list[str]:
    """Returns Beam's options for a runner, followed by extra ones, which win.

    Raises:
        PenstockError: this version has no profile for the runner.
    """
    if runner not in _PROFILES:
        raise PenstockError(
            f"runner {runner!r} is not available in this version; available are {', '.join(AVAILABLE)}."
            " Set `runner` in the environment."
        )
    return [*_PROFILES[runner], *extra]


def missing_args(args: Sequence[str]) -> list[str]:
    """Returns what options that people wrote for plain TFX lack: a runner, or what its worker processes need."""
    if not names_runner(args):
        return pipeline_args("direct")
    has_processes = "--direct_running_mode=multi_processing" in args
    return [_PLUGIN] if has_processes and _PLUGIN not in args else []


def names_runner(args: Sequence[str]) -> bool:
    """Returns whether options say which runner is meant."""
    return any(str(arg).startswith(("--runner", "--direct_running_mode", "--job_endpoint")) for arg in args)


def runs_in_process(args: Sequence[str]) -> bool:
    """Returns whether a pipeline with these options runs in the process that builds it, and in no other."""
    given = dict(str(arg).partition("=")[::2] for arg in args)
    return given.get("--runner") in (None, "DirectRunner") and given.get("--direct_running_mode") == "in_memory"
