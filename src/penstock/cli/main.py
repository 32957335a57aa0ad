"""Entry point: a command's module is imported only when that command is called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from penstock import __version__
from penstock.errors import PenstockError

# name -> (module, attribute, one-line help). The help stands here so that `penstock --help` imports nothing else.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "new": ("penstock.cli.new", "new", "Create a project from a template."),
    "validate": ("penstock.cli.validate", "validate", "Check a declaration; run nothing."),
    "run": ("penstock.cli.run", "run", "Run a pipeline, with live progress."),
    "warm": ("penstock.cli.warm", "warm", "Load what runs need ahead of the next one."),
    "backfill": ("penstock.cli.backfill", "backfill", "Run a pipeline once for each span of its data."),
    "runs": ("penstock.cli.runs", "runs", "List, show and compare runs, read their logs."),
    "artifacts": ("penstock.cli.artifacts", "artifacts", "List artifacts, show one, trace its lineage."),
    "metrics": ("penstock.cli.metrics", "metrics", "Print a run's sliced metrics as a table."),
    "cache": ("penstock.cli.cache", "cache", "Explain why a node hit or missed the cache."),
    "gc": ("penstock.cli.gc", "gc", "Remove old runs with what nobody needs of them."),
    "store": ("penstock.cli.store", "store", "Make a store's tables, or check that they are there."),
    "compile": ("penstock.cli.compile", "compile_", "Write the package a backend takes."),
    "submit": ("penstock.cli.submit", "submit", "Compile a pipeline and start it on a cluster."),
    "schedule": ("penstock.cli.schedule", "schedule", "Create, list and change schedules of runs."),
    "scheduler": ("penstock.cli.scheduler", "scheduler", "Start the runs that are scheduled, on this machine."),
    "image": ("penstock.cli.image", "image", "Build a project's container image."),
    "dashboard": ("penstock.cli.dashboard", "dashboard", "Serve the web pages of a store."),
    "doctor": ("penstock.cli.doctor", "doctor", "Check this machine; say how to mend what is wrong."),
}


class LazyGroup(click.Group):
    """A command group whose members are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, _, help_) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Commands: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penstock")
def cli() -> None:
    """Production machine-learning pipelines on TensorFlow Extended."""


def main() -> None:
    """Runs the command line and exits with its status: 0 good, 1 failed, 2 wrong call, 130 interrupted."""
    try:
        try:
            status = cli.main(standalone_mode=False)
        finally:
            # Here, where a full disk behind standard output can still be told.
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)
        status = 130
    except PenstockError as error:
        print(error, file=sys.stderr)
        status = error.exit_status
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        _discard_output()
        status = 1
    except Exception as error:
        from penstock.cli import trouble

        print(trouble.explain(error), file=sys.stderr)
        _discard_output()
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _discard_output() -> None:
    """Lets Python end without writing what is left for standard output, which may be what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
