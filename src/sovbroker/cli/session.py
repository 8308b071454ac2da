"""What every command begins with: the options that all commands share, and the way to the broker."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from sovbroker.cli.screen import Screen

if TYPE_CHECKING:
    from sovbroker.broker import Broker
    from sovbroker.config import Config

__all__ = ["CONFIG", "DEBUG", "JSON", "Options", "Session", "command", "options_of"]

P = ParamSpec("P")
Body = Callable[Concatenate["Session", P], None]


CONFIG: Final[Any] = typer.Option(
    "--config",
    metavar="FILE",
    help="The configuration. Default: $SOVBROKER_CONFIG, else ./sovbroker.yaml, else one folder of yours.",
)
JSON: Final[Any] = typer.Option("--json", help="Print data and errors as JSON.")
DEBUG: Final[Any] = typer.Option("--debug", help="Print the traceback of an error, and what is logged.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of every command. They may stand before the command's name or after it."""

    config: Annotated[Path | None, CONFIG] = None
    json: Annotated[bool, JSON] = False
    debug: Annotated[bool, DEBUG] = False

    def over(self, outer: Options) -> Options:
        """Return these options, where they were given, and `outer` where they were not."""
        return Options(
            config=self.config or outer.config, json=self.json or outer.json, debug=self.debug or outer.debug
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One command being run: its options and its screen."""

    options: Options
    screen: Screen

    def broker(self) -> Broker:
        """Open the broker of the configuration. Use it in a `with`."""
        from sovbroker.opening import open_broker  # noqa: PLC0415  # `--help` must not wait for cryptography

        return open_broker(self.options.config)

    def configuration(self) -> Config:
        """Read the configuration, and open nothing."""
        from sovbroker.config import load_config  # noqa: PLC0415  # as above

        return load_config(self.options.config)


def options_of(context: typer.Context) -> Options:
    """Return the options that stood before the command's name, if any."""
    found = context.find_object(Options)
    return Options() if found is None else found


def command(app: typer.Typer, name: str) -> Callable[[Body[P]], Body[P]]:
    """Make a function the command `name` of `app`: its parameters after the session, and the options of every command.

    The first line of its docstring is the command's help.
    """

    def register(body: Body[P]) -> Body[P]:
        _session, *own = inspect.signature(body, eval_str=True).parameters.values()
        common = list(inspect.signature(Options, eval_str=True).parameters.values())

        def run(context: typer.Context, **given: object) -> None:
            inner = Options(**{parameter.name: given.pop(parameter.name) for parameter in common})  # type: ignore[arg-type]  # typer has checked them
            options = inner.over(options_of(context))
            body(Session(options, Screen(as_json=options.json)), **given)  # type: ignore[call-arg, arg-type]  # as above

        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *(p.replace(kind=p.KEYWORD_ONLY) for p in [*own, *common])]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions have room for it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = body.__doc__
        app.command(name)(run)
        return body

    return register
