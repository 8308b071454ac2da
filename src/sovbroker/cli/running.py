"""From arguments to an exit code: the one place where errors become messages."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer
from typer.main import get_command

from sovbroker.cli.failures import Exit, code_of, facts_of, message_of
from sovbroker.cli.screen import Screen
from sovbroker.cli.tree import app
from sovbroker.cli.waking import waking

__all__ = ["run"]

# Typer brings its own copy of click, or uses the one that is installed; this is the root of its usage errors in both.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


class Terminated(BaseException):
    """SIGTERM or SIGHUP: what is half done is undone, as after Ctrl-C."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. No exception leaves, and no traceback unless `--debug` asks for it."""
    options = list(arguments)[: arguments.index("--")] if "--" in arguments else list(arguments)
    debug = "--debug" in options
    screen = Screen(as_json="--json" in options)
    with _utf8(), _logging(screen, debug=debug), _stoppable():
        code = _run(arguments, screen, debug=debug)
    return _flushed(code)


def _run(arguments: Sequence[str], screen: Screen, *, debug: bool) -> int:
    try:
        code: object = get_command(app)(args=list(arguments), prog_name="sovbroker", standalone_mode=False)
    except BrokenPipeError:
        return Exit.FAILURE
    except (typer.Abort, KeyboardInterrupt):
        code = Exit.INTERRUPTED
    except Terminated:
        code = Exit.TERMINATED
    except SystemExit as stop:
        code = stop.code
    except USAGE_ERROR as error:
        message = usage_of(error)
        screen.fail(message, {"error": "Usage", "message": message})
        return Exit.USAGE
    except Exception as error:  # noqa: BLE001  # whatever it is, it ends here as a message and an exit code
        if debug:
            sys.stderr.write(traceback.format_exc())
        screen.fail(message_of(error), facts_of(error))
        return code_of(error)
    if code in {Exit.INTERRUPTED, Exit.TERMINATED}:
        screen.fail("stopped; nothing was left half done", {"error": "Stopped", "message": "stopped"})
    return code if isinstance(code, int) else Exit.DONE


def usage_of(error: Exception) -> str:
    """Return typer's message in our words, with the way to the help of the command that was meant."""
    message: str = getattr(error, "format_message", error.__str__)()
    context: typer.Context | None = getattr(error, "ctx", None)
    path = "sovbroker" if context is None else context.command_path
    text = message.strip().rstrip(".").replace("'", "`")
    return f"{text[:1].lower()}{text[1:]}; see `{path} --help`"


def _flushed(code: int) -> int:
    """Hand the last bytes to stdout; whoever read it may have gone, which is no reason for a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes again when it ends: that must not fail aloud.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return code or Exit.FAILURE
    return code


@contextmanager
def _utf8() -> Generator[None]:
    """Let stdout show what its encoding cannot, as escapes, rather than fail."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    yield


class Warnings(logging.Handler):
    """Shows the library's warnings as messages, without tracebacks."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        self._screen.warn(record.getMessage())


@contextmanager
def _logging(screen: Screen, *, debug: bool) -> Generator[None]:
    """Print our own warnings; with `debug` all that we log. An SDK's own debug log could show what it sends."""
    root, own = logging.getLogger(), logging.getLogger("sovbroker")
    level = own.level
    handler: logging.Handler = Warnings(screen)
    if debug:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        own.setLevel(logging.DEBUG)
    own.addHandler(handler)
    # Without a handler of its own, a chatty SDK would print through logging's last resort.
    silent = logging.NullHandler()
    root.addHandler(silent)
    try:
        yield
    finally:
        root.removeHandler(silent)
        own.removeHandler(handler)
        own.setLevel(level)


@contextmanager
def _stoppable() -> Generator[None]:
    """Let SIGTERM and SIGHUP unwind the command as Ctrl-C does. Only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    # What the caller had ignored (nohup) stays ignored.
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        with waking():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
