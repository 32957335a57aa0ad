"""`penstock new`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from penstock.errors import UsageError


@click.command()
@click.argument("name", required=False)
@click.option("--template", "-t", metavar="TEMPLATE", help="What to start from; see --list.")
@click.option(
    "--into",
    metavar="FOLDER",
    default=".",
    type=click.Path(path_type=Path),
    help="Folder to create the project's folder in.  [default: the current one]",
)
@click.option("--list", "listing", is_flag=True, help="List the templates; create nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def new(name: str | None, template: str | None, into: Path, listing: bool, as_json: bool) -> None:
    """Create the project NAME from a template, ready to run and test."""
    from penstock import templates

    known = templates.templates()
    if listing:
        if as_json:
            click.echo(json.dumps([{"name": t.name, "description": t.description} for t in known.values()], indent=2))
        else:
            width = max(map(len, known), default=0)
            for entry in known.values():
                click.echo(f"{entry.name:<{width}}  {entry.description}")
        return
    if name is None:
        raise UsageError("No name was given. Say: penstock new NAME --template TEMPLATE")
    if template is None:
        raise UsageError(
            f"No template was given. Templates: {', '.join(known)}. "
            f"Say: penstock new {name} --template {next(iter(known))}"
        )
    project = templates.create_project(name, template, into)
    if as_json:
        fields = {"folder": str(project.folder), "name": project.name, "package": project.package}
        click.echo(json.dumps({**fields, "template": project.template}, indent=2))
        return
    click.echo(f"Created {project.folder} from the template {project.template}.")
    click.echo(
        "\nNext:\n"
        f"  cd {project.folder}\n"
        "  penstock validate .    # check the declaration\n"
        "  python -m pytest       # test the features and the model\n"
        "  penstock run .         # run it, from the data to a pushed model",
        err=True,
    )
