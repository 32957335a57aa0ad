"""Kubernetes' own API server with its database, on loopback: it checks and keeps objects, and nothing runs them."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.deploy.chart import Manifest, name_of

_START_SECONDS = 180
_PLURALS = {
    "ConfigMap": "configmaps",
    "Ingress": "ingresses",
    "Job": "jobs",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
    "SubjectAccessReview": "subjectaccessreviews",
}


class ApiServer:
    """A running server.

    Attributes:
        kubeconfig: a file with which Helm reaches it as an administrator.
    """

    def __init__(self, tools: Path, folder: Path):
        token = secrets.token_urlsafe()
        port, etcd, peers = _free_port(), _free_port(), _free_port()
        self._folder = folder
        self._client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            verify=False,  # its certificate is made when it starts
            trust_env=False,
            timeout=60,
        )
        (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        _write_key(folder / "accounts.key")
        self.kubeconfig = folder / "kubeconfig.json"
        self.kubeconfig.write_text(json.dumps(_kubeconfig(port, token)))
        self.kubeconfig.chmod(0o600)
        address = f"http://127.0.0.1:{etcd}"
        self._processes = [
            self._start(
                tools / "etcd",
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls={address}",
                f"--advertise-client-urls={address}",
                f"--listen-peer-urls=http://127.0.0.1:{peers}",
                "--unsafe-no-fsync",
            ),
            self._start(
                tools / "kube-apiserver",
                f"--etcd-servers={address}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={folder / 'certificates'}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder / 'accounts.key'}",
                f"--service-account-signing-key-file={folder / 'accounts.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
            ),
        ]

    def wait(self) -> None:
        """Waits until it answers."""
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                if self._client.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            ended = any(process.poll() is not None for process in self._processes)
            if ended or time.monotonic() > give_up:
                logs = "\n".join(file.read_text()[-3000:] for file in sorted(self._folder.glob("*.log")))
                pytest.fail(f"the API server did not start:\n{logs}", pytrace=False)
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends both processes, the database last."""
        self._client.close()
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def make_namespace(self, level: str) -> str:
        """Makes a namespace with a level of pod security that nothing in it may fall below, and returns its name."""
        name = f"ml-{secrets.token_hex(4)}"
        labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "warn")}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        assert self.create(namespace, None, dry_run=False).is_success
        return name

    def create(self, manifest: Manifest, namespace: str | None, *, dry_run: bool = True) -> httpx.Response:
        """Asks it to make an object, which it checks against all it knows; with `dry_run` nothing is kept."""
        options = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return self._client.post(_path(manifest, namespace), params=options, json=manifest)

    def objects(self, namespace: str) -> dict[str, Mapping[str, Any]]:
        """All objects of a namespace but those of Helm's own, by kind and name.

        Claims wait for a controller to let them go; what is asked to be deleted counts as gone.
        """
        found = {}
        groups = {"v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"}
        for group in sorted(groups):
            root = "/api/v1" if group == "v1" else f"/apis/{group}"
            for resource in self._get(root)["resources"]:
                if resource["namespaced"] and "list" in resource["verbs"] and resource["kind"] in _PLURALS:
                    for each in self._get(f"{root}/namespaces/{namespace}/{resource['name']}")["items"]:
                        is_helms = each["metadata"]["name"].startswith("sh.helm.release")
                        if not is_helms and "deletionTimestamp" not in each["metadata"]:
                            found[name_of({**each, "kind": resource["kind"]})] = each
        # Every namespace has the certificates of the API.
        return {name: each for name, each in found.items() if name != "ConfigMap/kube-root-ca.crt"}

    def may(self, user: str, groups: list[str], verb: str, namespace: str, resource: str, name: str = "") -> bool:
        """Whether somebody may do something; `resource` is `pods` or `pods/log`."""
        kind, _, part = resource.partition("/")
        attributes = {"verb": verb, "namespace": namespace, "resource": kind, "subresource": part, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
        }
        answer = self.create(review, None, dry_run=False)
        assert answer.is_success, answer.text
        return answer.json()["status"]["allowed"] is True

    def _get(self, path: str) -> Any:
        answer = self._client.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def _start(self, program: Path, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{program.name}.log").open("w") as log:
            return subprocess.Popen(
                [program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _path(manifest: Manifest, namespace: str | None) -> str:
    group = manifest["apiVersion"]
    root = f"/api/{group}" if group == "v1" else f"/apis/{group}"
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{within}/{_PLURALS[manifest['kind']]}"


def _kubeconfig(port: int, token: str) -> dict[str, Any]:
    server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def _write_key(file: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*form))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
