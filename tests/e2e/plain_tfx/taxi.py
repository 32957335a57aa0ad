# mypy: ignore-errors
"""The Chicago taxi pipeline that ships inside the tfx package, given the places it reads and writes."""

import os

import tfx
from tfx.examples.chicago_taxi_pipeline import taxi_pipeline_native_keras

EXAMPLE = os.path.join(next(iter(tfx.__path__)), "examples", "chicago_taxi_pipeline")


def taxi(home: str):
    return taxi_pipeline_native_keras._create_pipeline(
        pipeline_name="taxi-of-tfx",
        pipeline_root=os.path.join(home, "root"),
        data_root=os.path.join(EXAMPLE, "data", "simple"),
        module_file=os.path.join(EXAMPLE, "taxi_utils_native_keras.py"),
        serving_model_dir=os.path.join(home, "serving"),
        metadata_path=os.path.join(home, "unused.db"),
        beam_pipeline_args=["--direct_running_mode=in_memory", "--direct_num_workers=1"],
    )
