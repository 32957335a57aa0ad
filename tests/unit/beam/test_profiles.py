"""Beam's options: the runner is always named, and worker processes get what they need."""

from __future__ import annotations

import pytest

from penstock.beam import profiles
from penstock.errors import PenstockError

PLUGIN = "--beam_plugin=penstock.engine.tfdv_shim"


def test_options_without_a_runner_get_the_direct_one() -> None:
    for args in ([], ["--direct_num_workers=1"], ["--save_main_session"]):
        assert profiles.missing_args(args) == profiles.pipeline_args("direct")


def test_a_runner_that_is_named_stays() -> None:
    for args in (["--runner=FlinkRunner"], ["--direct_running_mode=in_memory"], ["--job_endpoint=localhost:8099"]):
        assert profiles.missing_args(args) == []


def test_processes_get_the_plug_in_once() -> None:
    args = ["--direct_running_mode=multi_processing", "--direct_num_workers=0"]
    assert profiles.missing_args(args) == [PLUGIN]
    assert profiles.missing_args([*args, PLUGIN]) == []
    assert profiles.missing_args(profiles.pipeline_args("direct-multi")) == []


def test_extra_options_come_last_and_so_win() -> None:
    assert profiles.pipeline_args("direct", ["--direct_num_workers=4"])[-1] == "--direct_num_workers=4"


def test_a_runner_without_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(PenstockError, match=r"runner 'spork' is not available.*direct, direct-multi"):
        profiles.pipeline_args("spork")


def test_which_pipelines_run_in_the_process_that_builds_them() -> None:
    assert profiles.runs_in_process(profiles.pipeline_args("direct"))
    assert profiles.runs_in_process(["--direct_running_mode=in_memory"])
    for args in (
        profiles.pipeline_args("direct-multi"),
        profiles.pipeline_args("direct", ["--direct_running_mode=multi_processing"]),
        profiles.pipeline_args("direct", ["--runner=FlinkRunner"]),
        ["--runner", "FlinkRunner", "--direct_running_mode=in_memory"],
        [],
    ):
        assert not profiles.runs_in_process(args)
