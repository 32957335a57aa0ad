"""`penstock validate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from penstock import sources
from penstock.errors import DeclarationError, Problem


@click.command()
@click.argument("path", metavar="PATH")
@click.option("--env", "environment", metavar="E", help="Environment to check against.  [default: local]")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def validate(path: str, environment: str | None, parameters: tuple[str, ...], as_json: bool) -> None:
    """Check the declaration PATH and name every mistake in it; run nothing.

    PATH is a pipeline's folder, a pipeline.yaml, or FILE.py:CALLABLE (checked only for syntax and the callable).
    """
    from penstock.spec.parameters import split_parameters
    from penstock.spec.problem_text import render

    values = split_parameters(parameters)
    try:
        summary = _python_summary(path) if sources.is_python_source(path) else _summary(path, environment, values)
    except DeclarationError as error:
        if as_json:
            problems = [_problem_fields(problem) for problem in error.problems]
            click.echo(json.dumps({"valid": False, "problems": problems}, indent=2))
        else:
            click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    if as_json:
        click.echo(json.dumps({"valid": True, **summary, "problems": []}, indent=2))
    else:
        click.echo(_line(summary))


def _summary(path: str, environment: str | None, parameters: Mapping[str, str]) -> dict[str, Any]:
    from penstock import spec

    declaration = spec.load(path, parameters=parameters, environment=environment)
    return {
        "name": declaration.name,
        "file": str(declaration.file),
        "nodes": list(declaration.nodes),
        "parameters": list(declaration.parameters),
        "environments": list(declaration.environments),
        "environment": declaration.environment.name,
    }


def check_python_source(path: str) -> tuple[Path, str]:
    """Returns the file and the callable of FILE.py:CALLABLE, from the text alone.

    Raises:
        DeclarationError: there is no such file, it is no Python, or it has no such name.
    """
    from penstock.spec import usercode

    file, name = sources.split_python_source(path)
    try:
        code = usercode.UserCode([file.parent])
        code.member(code.file(file), name)
    except usercode.UserCodeError as error:
        from penstock.spec.problems import nearest

        suggestion = nearest(error.name, error.allowed) if error.name else None
        problem = Problem(
            f"{str(error)[0].upper()}{str(error)[1:]}.",
            file,
            error.line,
            error.column,
            allowed=tuple(error.allowed),
            suggestion=suggestion,
        )
        raise DeclarationError([problem]) from error
    return file, name


def _python_summary(path: str) -> dict[str, Any]:
    file, name = check_python_source(path)
    return {"file": str(file), "callable": name}


def _line(summary: Mapping[str, Any]) -> str:
    if "callable" in summary:
        return f"{summary['file']}:{summary['callable']}: the file parses and has the callable"
    counts = [_count(len(summary[key]), key) for key in ("nodes", "parameters")]
    names = summary["environments"]
    if names:
        counts.append(f"environment{'s' if len(names) > 1 else ''} {', '.join(names)}")
    return f"{summary['name']}: {', '.join(counts)}: valid"


def _count(number: int, plural: str) -> str:
    return f"{number} {plural if number != 1 else plural[:-1]}"


def _problem_fields(problem: Problem) -> dict[str, Any]:
    return {
        "file": str(problem.file),
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "found": problem.found,
        "allowed": list(problem.allowed),
        "suggestion": problem.suggestion,
    }
