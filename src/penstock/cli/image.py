"""`penstock image`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from penstock.cli import output
from penstock.cli.reading import json_option
from penstock.errors import UsageError
from penstock.images import BASE, REGISTRY_VARIABLE


@click.group()
def image() -> None:
    """Build container images of projects, for clusters."""


@image.command()
@click.argument("path", metavar="PATH")
@click.option("--base", default=BASE, show_default=True, metavar="IMAGE", help="Image to put the project's files on.")
@click.option("--name", metavar="NAME", help="Name of the image.  [default: the project's]")
@click.option(
    "--push",
    "registry",
    metavar="REGISTRY",
    help=f"Push it to HOST[:PORT][/FOLDER].  [default: {REGISTRY_VARIABLE}]",
)
@json_option
def build(path: str, base: str, name: str | None, registry: str | None, as_json: bool) -> None:
    """Build the image of the project that PATH belongs to, tagged by its content; push it if a registry is set.

    PATH is a pipeline's folder or a pipeline.yaml. The image holds all files of the project but those named
    in its .dockerignore. Prints the image's name.
    """
    from penstock import images
    from penstock.project import find_root

    place = Path(path)
    if not place.exists():
        raise UsageError(f"{path}: there is no such folder or file")
    project = find_root((place if place.is_dir() else place.parent).resolve())
    registry = registry or os.environ.get(REGISTRY_VARIABLE)
    built = images.build(project, name or images.project_name(project), base)
    what = f"{built.files:,} files, {_megabytes(built.project_bytes)}, on {base}; {_megabytes(built.size)} in all"
    output.say(f"{built.reference}: {'is there already' if built.was_there else 'built'} ({what})")
    pushed = images.push(built, registry) if registry else None
    if pushed is None:
        output.say(
            "It is on this machine only, for no registry is set. Name one with --push HOST/FOLDER or"
            f" {REGISTRY_VARIABLE}; for a cluster of kind: kind load docker-image {built.reference}"
        )
    if as_json:
        output.print_json(
            {"image": pushed or built.reference, "tag": built.reference, "id": built.id, "size": built.size}
            | {"pushed": pushed is not None, "files": built.files, "project_bytes": built.project_bytes}
        )
    else:
        click.echo(pushed or built.reference)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
