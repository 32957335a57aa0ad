"""Kubeflow Pipelines behind its HTTP API, version 2: packages registered, runs of them started, watched and ended.

Speaks through `kfp_server_api`, the client that the KFP project generates from its OpenAPI definitions. The SDK's own
`kfp.Client` around it waits for answers without end, keeps settings in the user's home, and asks for a health report
five times before it says that nobody answers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3

from penstock.backends.kubeflow.endpoint import Endpoint, parse
from penstock.errors import PenstockError, UsageError
from penstock.metadata.runs import Run
from penstock.spec.cluster import Cluster

ENDPOINT_VARIABLE = "PENSTOCK_KFP_ENDPOINT"
TOKEN_VARIABLE = "PENSTOCK_KFP_TOKEN"
# To connect, and until an answer begins, in seconds.
_TIMEOUT = (10, 60)
_LONGEST_TEXT = 300

# V2beta1RuntimeState of KFP's API.
ENDED = frozenset(("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"))


class ServiceError(PenstockError):
    """Indicates that Kubeflow Pipelines did not do what it was asked for.

    Attributes:
        unclear: whether it may have done so all the same: its answer was lost, or made no sense.
        is_there: whether what was to be made is there already, by somebody who was a moment earlier.
    """

    def __init__(self, message: str, *, unclear: bool = False, is_there: bool = False):
        super().__init__(message)
        self.unclear = unclear
        self.is_there = is_there


@dataclass(frozen=True)
class Registered:
    """A version of a pipeline that Kubeflow Pipelines knows. `is_new` tells whether it had not known it before."""

    pipeline_id: str
    version_id: str
    version: str
    is_new: bool


@dataclass(frozen=True)
class RunState:
    """Where a run is: a state of KFP's `V2beta1RuntimeState`, and what went wrong, if anything did."""

    state: str
    error: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the run happens any more."""
        return self.state in ENDED


def connect(cluster: Cluster, where: str) -> Service:
    """Returns the service of a cluster, with the token of this process's environment; nothing is asked of it yet.

    Args:
        cluster: what the environment says of it.
        where: the environment, for messages.

    Raises:
        UsageError: the environment does not name a usable endpoint.
    """
    written = cluster.endpoint or os.environ.get(ENDPOINT_VARIABLE)
    if written is None:
        raise UsageError(
            f"{where} does not say where Kubeflow Pipelines answers. Add kubeflow: {{endpoint: …}} with what the"
            f" browser shows, or set {ENDPOINT_VARIABLE}"
        )
    endpoint = parse(written)
    return Service(endpoint, cluster.namespace or endpoint.namespace, os.environ.get(TOKEN_VARIABLE))


def of_run(run: Run) -> Service:
    """Returns the service that runs a recorded run; nothing is asked of it yet.

    Raises:
        PenstockError: where it answers is not known, or a token would go to an address that only the store names.
    """
    named, token = os.environ.get(ENDPOINT_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    address = named or run.host
    if not address:
        raise PenstockError(
            f"Run {run.run_id} runs on a cluster, and its environment does not say where that answers. Set"
            f" {ENDPOINT_VARIABLE} to what the browser shows of Kubeflow Pipelines, and try again."
        )
    if token and not named:
        # Whoever may write to the store would else be handed the token.
        raise PenstockError(
            f"Run {run.run_id} runs at {address}, as the store says, and a token is sent to no address that only the"
            f" store names. If it is the one you mean, set {ENDPOINT_VARIABLE} to it, and try again."
        )
    return Service(parse(address), None, token)


class Service:
    """One installation, and the namespace in it that is meant: None where it has no namespaces of users."""

    def __init__(self, endpoint: Endpoint, namespace: str | None, token: str | None = None):
        self._endpoint = endpoint
        self._namespace = namespace
        configuration = kfp_server_api.Configuration(host=endpoint.address)
        configuration.ssl_ca_cert = os.environ.get("SSL_CERT_FILE")
        if token:
            configuration.api_key = {"authorization": token}
            configuration.api_key_prefix = {"authorization": "Bearer"}
        client = kfp_server_api.ApiClient(configuration)
        self._health = kfp_server_api.HealthzServiceApi(client)
        self._experiments = kfp_server_api.ExperimentServiceApi(client)
        self._pipelines = kfp_server_api.PipelineServiceApi(client)
        self._uploads = kfp_server_api.PipelineUploadServiceApi(client)
        self._runs = kfp_server_api.RunServiceApi(client)

    @property
    def address(self) -> str:
        """Where it answers."""
        return self._endpoint.address

    @property
    def namespace(self) -> str | None:
        """The namespace that is meant, None where there are none."""
        return self._namespace

    def run_page(self, run_id: str) -> str:
        """The address of a run's page."""
        return self._endpoint.run_page(run_id)

    def check(self) -> None:
        """Asks whether an installation of version 2 is there and wants no namespace that it was not given.

        Raises:
            ServiceError: there is none, it lets nobody in, or a namespace is missing.
        """
        with self._explained("asking for its health"):
            health, _, headers = self._health.healthz_service_get_healthz_with_http_info(_request_timeout=_TIMEOUT)
            if "json" not in headers.get("content-type", ""):
                raise ValueError("the answer is a page")
            needs_namespace = bool(health.multi_user)
        if needs_namespace and self._namespace is None:
            raise ServiceError(
                f"{self._endpoint.address} keeps apart the namespaces of its users, and the environment names none. Add"
                " kubeflow: {namespace: …}"
            )

    def register(self, name: str, package: Path, description: str = "") -> Registered:
        """Uploads a package as a version of the pipeline with its name; the same package is uploaded once.

        Raises:
            ServiceError: it could not be done. Doing it again is safe.
        """
        version = f"{name}-{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}"
        pipeline_id = self._pipeline_id(name) or self._made_or_there(
            lambda: self._upload(name, package, description), lambda: self._pipeline_id(name)
        )
        known = self._version_id(pipeline_id, version)
        version_id = known or self._made_or_there(
            lambda: self._upload_version(pipeline_id, version, package),
            lambda: self._version_id(pipeline_id, version),
        )
        return Registered(pipeline_id, version_id, version, is_new=known is None)

    @staticmethod
    def _made_or_there(make: Callable[[], str], find: Callable[[], str | None]) -> str:
        """The id of what is made, or of what somebody made in the same moment."""
        try:
            return make()
        except ServiceError as error:
            found = find() if error.is_there else None
            if found is None:
                raise
            return found

    def _upload(self, name: str, package: Path, description: str) -> str:
        with self._explained(f"registering pipeline {name}"):
            made = self._uploads.upload_pipeline(
                str(package), name=name, description=description, **self._in_namespace(), _request_timeout=_TIMEOUT
            )
            return _text(made.pipeline_id)

    def _upload_version(self, pipeline_id: str, version: str, package: Path) -> str:
        with self._explained(f"registering version {version}"):
            made = self._uploads.upload_pipeline_version(
                str(package), name=version, pipelineid=pipeline_id, _request_timeout=_TIMEOUT
            )
            return _text(made.pipeline_version_id)

    def start(
        self,
        registered: Registered,
        run_name: str,
        parameters: Mapping[str, Any],
        *,
        experiment: str,
        service_account: str | None = None,
    ) -> str:
        """Starts a run and returns its id. `run_name` must be of this run alone: by it a lost answer is made up for.

        Raises:
            ServiceError: no run was started; or, where the message says so, that is not known.
        """
        experiment_id = self._experiment_id(experiment)
        run = kfp_server_api.V2beta1Run(
            display_name=run_name,
            experiment_id=experiment_id,
            pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
                pipeline_id=registered.pipeline_id, pipeline_version_id=registered.version_id
            ),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(parameters)),
            service_account=service_account,
        )
        try:
            with self._explained(f"starting run {run_name}"):
                started = self._runs.run_service_create_run(run, _request_timeout=_TIMEOUT)
                return _text(started.run_id)
        except ServiceError as error:
            if not error.unclear:
                raise
            found = self._run_with_name(run_name, experiment_id, error)
            if found is None:
                raise ServiceError(
                    f"{error}\nRun {run_name} is not there yet, and may still come: look at"
                    f" {self._endpoint.address}/#/runs before you submit again.",
                    unclear=True,
                ) from error
            return found

    def count_runs(self) -> int:
        """How many runs the namespace has."""
        with self._explained("looking for runs"):
            found = self._runs.run_service_list_runs(page_size=1, **self._in_namespace(), _request_timeout=_TIMEOUT)
            return int(found.total_size or 0)

    def state(self, run_id: str) -> RunState:
        """Where a run is."""
        with self._explained(f"asking for run {run_id}"):
            run = self._runs.run_service_get_run(run_id, _request_timeout=_TIMEOUT)
            error = None if run.error is None else run.error.message
            return RunState(str(run.state or "PENDING"), error or None)

    def terminate(self, run_id: str) -> None:
        """Ends what runs of a run."""
        with self._explained(f"ending run {run_id}"):
            self._runs.run_service_terminate_run(run_id, _request_timeout=_TIMEOUT)

    def retry(self, run_id: str) -> None:
        """Starts what failed of a run that has ended, and what comes after it."""
        with self._explained(f"taking up run {run_id}"):
            self._runs.run_service_retry_run(run_id, _request_timeout=_TIMEOUT)

    def _pipeline_id(self, name: str) -> str | None:
        with self._explained(f"looking for pipeline {name}"):
            found = self._pipelines.pipeline_service_list_pipelines(
                filter=_named(name), **self._in_namespace(), _request_timeout=_TIMEOUT
            )
            return _text(found.pipelines[0].pipeline_id) if found.pipelines else None

    def _version_id(self, pipeline_id: str, version: str) -> str | None:
        with self._explained(f"looking for version {version}"):
            found = self._pipelines.pipeline_service_list_pipeline_versions(
                pipeline_id, filter=_named(version), _request_timeout=_TIMEOUT
            )
            return _text(found.pipeline_versions[0].pipeline_version_id) if found.pipeline_versions else None

    def _experiment_id(self, name: str) -> str:
        with self._explained(f"looking for experiment {name}"):
            found = self._experiments.experiment_service_list_experiments(
                filter=_named(name), **self._in_namespace(), _request_timeout=_TIMEOUT
            )
            if found.experiments:
                return _text(found.experiments[0].experiment_id)
        with self._explained(f"making experiment {name}"):
            experiment = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self._namespace)
            made = self._experiments.experiment_service_create_experiment(experiment, _request_timeout=_TIMEOUT)
            return _text(made.experiment_id)

    def _run_with_name(self, name: str, experiment_id: str, cause: ServiceError) -> str | None:
        try:
            with self._explained(f"looking for run {name}"):
                found = self._runs.run_service_list_runs(
                    experiment_id=experiment_id, filter=_named(name), **self._in_namespace(), _request_timeout=_TIMEOUT
                )
                return _text(found.runs[0].run_id) if found.runs else None
        except ServiceError as error:
            raise ServiceError(
                f"{cause}\nWhether run {name} was started is not known: {error}\nLook for it at"
                f" {self._endpoint.address}/#/runs before you submit again.",
                unclear=True,
            ) from cause

    def _in_namespace(self) -> dict[str, str]:
        return {} if self._namespace is None else {"namespace": self._namespace}

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turns whatever the client raises into one error that says what to do."""
        where = f"{self._endpoint.address}: {doing}"
        try:
            yield
        except ServiceError:
            raise
        except kfp_server_api.ApiException as error:
            raise ServiceError(
                f"{where}: {_refusal(error)}", unclear=(error.status or 0) >= 500, is_there=error.status == 409
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise ServiceError(
                f"{where}: no answer ({_cause(error)}). Check the endpoint, and that this machine reaches it; for a"
                " cluster without an address of its own: kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80",
                unclear=True,
            ) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            # What the generated client makes of an answer that is cut short or is something else altogether.
            raise ServiceError(
                f"{where}: the answer is none of Kubeflow Pipelines' API, version 2. Behind the endpoint may be a page"
                f" to sign in on (set {TOKEN_VARIABLE} to a token), another program, or a proxy that cuts answers"
                " short.",
                unclear=True,
            ) from error


def _named(name: str) -> str:
    """KFP's filter for a display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _text(value: object) -> str:
    """An id of an answer, which has one when it is whole."""
    if not isinstance(value, str) or not value:
        raise ValueError("the answer has no id")
    return value


def _refusal(error: kfp_server_api.ApiException) -> str:
    if error.status == 401:
        return f"the token in {TOKEN_VARIABLE} is missing, wrong or has expired. Set a new one"
    if error.status == 403:
        return (
            f"you may not do that{_said(error)}. Ask whoever runs the cluster for the right, or name another namespace"
        )
    if error.status == 404:
        return (
            f"there is nothing of the kind{_said(error)}. The endpoint may be wrong, or an installation older than"
            " Kubeflow Pipelines 2.0, which has no API v2beta1"
        )
    if not error.status:
        return (
            f"no secure connection ({' '.join(str(error.reason).split())[:_LONGEST_TEXT]}). The file of your own"
            " certificate authority is named by SSL_CERT_FILE"
        )
    return f"it answered {error.status}{_said(error)}"


def _said(error: kfp_server_api.ApiException) -> str:
    """What the server said, in brackets."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    text = str(said.get("message") or said.get("error") or "") if isinstance(said, dict) else ""
    text = " ".join(text.split())
    return f" ({text[:_LONGEST_TEXT]})" if text else ""


def _cause(error: Exception) -> str:
    """The innermost reason, without the pools and addresses that urllib3 wraps it in."""
    reason = getattr(error, "reason", None) or error
    return type(reason).__name__ if not str(reason) else str(reason).rpartition(": ")[2][:_LONGEST_TEXT]
