"""What `penstock doctor --env` looks at besides: what the nodes of an environment need, wherever they run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from penstock.doctor import Check, Status, check_store
from penstock.errors import PenstockError
from penstock.metadata.location import STORE_VARIABLE
from penstock.spec import Declaration
from penstock.spec.cluster import Cluster

_IMAGE_SECONDS = 20


def examine(declaration: Declaration, store: str | None) -> Iterator[Check]:
    """Looks at the store, the pipeline root and, where there is one, the cluster of a declaration's environment.

    Args:
        declaration: the declaration, for the environment.
        store: the value of `--store`.
    """
    environment = declaration.environment
    cluster = environment.kubeflow
    yield from _store(declaration, store)
    yield from _pipeline_root(environment.pipeline_root, cluster)
    if environment.backend == "kubeflow":
        yield from _cluster(declaration)


def _store(declaration: Declaration, option: str | None) -> Iterator[Check]:
    environment = declaration.environment
    secret = environment.kubeflow.secrets.get(STORE_VARIABLE) if environment.kubeflow is not None else None
    seen = option or os.environ.get(STORE_VARIABLE) or environment.metadata
    if secret is not None and not seen:
        yield Check(
            "metadata store",
            Status.WARN,
            f"the key {secret.key!r} of the Kubernetes secret {secret.secret!r} names it, which is not read from here",
            "a store that all nodes reach",
            f"Set {STORE_VARIABLE} here, or --store, to have it looked at.",
        )
        return
    if environment.kubeflow is not None and not (seen or "").startswith("postgresql:"):
        folder = Path(seen or declaration.project).absolute()
        if not any(folder.is_relative_to(volume.path) for volume in environment.kubeflow.volumes):
            yield Check(
                "store of all nodes",
                Status.FAIL,
                f"{seen or 'the project’s folder'}, which no container sees",
                "a store that all nodes reach",
                f"Name a postgresql:// address by the environment's metadata, or {STORE_VARIABLE} in kubeflow.secrets.",
            )
    yield from check_store(option, environment.metadata, declaration.project)


def _pipeline_root(root: str | None, cluster: Cluster | None) -> Iterator[Check]:
    needed = "a place that all nodes can write to"
    if root is None:
        if cluster is not None and not cluster.volumes:
            mend = "Give the environment a pipeline_root in a bucket, or a volume under kubeflow."
            yield Check("pipeline root", Status.FAIL, "none, and the containers share no disk", needed, mend)
        return
    from penstock.storage import buckets, waiting

    if not buckets.is_object(root):
        if cluster is None:
            return  # a folder here is the store's concern
        volume = next((each for each in cluster.volumes if Path(root).is_relative_to(each.path)), None)
        status = Status.FAIL if volume is None else Status.OK
        found = f"{root}, in no volume" if volume is None else f"{root}, in the volume {volume.claim}"
        mend = "" if volume else "Name a bucket, or a folder in a volume under kubeflow."
        yield Check("pipeline root", status, found, needed, mend)
        return
    waiting.hurry()  # who asks wants to know how it is now
    try:
        _write_and_remove(root)
    except (PenstockError, OSError) as error:
        mend = "See to the address, the bucket and the credentials in this process's environment."
        yield Check("pipeline root", Status.FAIL, str(error), needed, mend)
        return
    yield Check("pipeline root", Status.OK, f"{root}, written to and cleared up", needed)


def _write_and_remove(root: str) -> None:
    from penstock.storage import objects

    uri = objects.join(root, f"penstock-doctor-{uuid.uuid4().hex}")
    with tempfile.NamedTemporaryFile(prefix="penstock-doctor-") as empty:
        objects.put(Path(empty.name), uri)
    objects.remove(uri)


def _cluster(declaration: Declaration) -> Iterator[Check]:
    cluster = declaration.environment.kubeflow
    where = f"{declaration.file}: environment {declaration.environment.name!r}"
    if cluster is None:
        mend = "Add kubeflow: {image: …} to the environment."
        yield Check("Kubeflow Pipelines", Status.FAIL, f"{where} says nothing of it", "its endpoint and an image", mend)
        return
    yield from _endpoint(cluster, where)
    yield _image(cluster.image)


def _endpoint(cluster: Cluster, where: str) -> Iterator[Check]:
    from penstock.backends.kubeflow import service as services

    needed = "Kubeflow Pipelines 2 (API v2beta1)"
    try:
        service = services.connect(cluster, where)
        service.check()
    except PenstockError as error:
        mend = "See to kubeflow.endpoint and kubeflow.namespace, and to the token in PENSTOCK_KFP_TOKEN."
        yield Check("Kubeflow Pipelines", Status.FAIL, str(error), needed, mend)
        return
    yield Check("Kubeflow Pipelines", Status.OK, f"API v2beta1 at {service.address}", needed)
    name, needed = "namespace", "one whose experiments and runs you may see"
    try:
        runs = service.count_runs()
    except PenstockError as error:
        mend = "Name a namespace of yours, or ask whoever runs the cluster for the right."
        yield Check(name, Status.FAIL, str(error), needed, mend)
        return
    yield Check(name, Status.OK, f"{service.namespace or 'the only one'}, with {runs} runs", needed)


def _image(image: str) -> Check:
    needed = "an image that the cluster can fetch, by a tag or digest of its own"
    if image.endswith(":latest") or ":" not in image.rpartition("/")[2]:
        mend = "Name a tag that is given once, as `penstock image build` makes it."
        return Check("image", Status.WARN, f"{image}: the tag says nothing of what is in it", needed, mend)
    docker = shutil.which("docker")
    if docker is None:
        mend = "Install Docker's command line to have it looked for."
        return Check("image", Status.WARN, f"{image}: not looked for, for there is no Docker here", needed, mend)
    try:
        done = subprocess.run(
            [docker, "manifest", "inspect", image],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_IMAGE_SECONDS,
            check=False,
        )
        said = done.stderr.strip().splitlines()
        trouble = "" if done.returncode == 0 else (said[-1] if said else f"docker ended with {done.returncode}")
    except subprocess.TimeoutExpired:
        trouble = f"its registry did not answer for {_IMAGE_SECONDS} s"
    if trouble:
        mend = "Build and push it, see penstock image build --help. Or sign in: docker login."
        return Check("image", Status.WARN, f"{image}: {trouble}", needed, mend)
    return Check("image", Status.OK, f"{image}, in its registry", needed)
