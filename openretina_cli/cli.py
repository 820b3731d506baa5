"""The command `openretina`: verbs, help, one-line errors, exit codes. Help and errors do not wait for torch."""

from __future__ import annotations

import atexit
import errno
import io
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from types import FrameType
from typing import NoReturn

from openretina_cli.config.location import config_directory
from openretina_cli.config.paths import expand_home, expand_word
from openretina_cli.errors import OpenRetinaError
from openretina_cli.terminal.streams import Streams, replacing_streams, write_text

HELP = """\
usage: openretina VERB ...

Find the video that a cell of a digital-twin retina likes best.

  openretina optimize [KEY=VALUE ...]   optimise a stimulus; `openretina optimize --help` lists all settings
  openretina models                     list the known checkpoints, and which are on this machine
  openretina models NAME [KEY=VALUE ..] what one of them holds: sessions, neurons, cell types, input shape
  openretina models fetch NAME          download a checkpoint, for machines without a network
  openretina render DIR [DIR ...]       videos and figures of finished runs, from their folders
  openretina report DIR [DIR ...]       a page, a table and all stimuli of the runs in a folder
  openretina validate [KEY=VALUE ...]   play optimised stimuli to the simulated retina, whose truth is known
  openretina --version                  print the version

  openretina optimize objective=mei neuron=42
  openretina optimize experiment=hoefling_2024 model=hoefling_2024 neuron=100
"""

INTERRUPTED = 130
TERMINATING = ("SIGTERM", "SIGHUP")
MAXIMUM_WIDTH = 120
"""Longer lines of help are hard to read."""


def _wants_help(argv: Sequence[str]) -> bool:
    return any(argument in ("-h", "--help") for argument in argv)


def _own_config_folders(argv: Sequence[str]) -> list[Path]:
    """The folders named by --config-dir, which may bring options of their own."""
    words = [word for argument in argv for word in argument.split("=", 1)]
    named = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--config-dir", "-cd")]
    folders = [Path(expand_home(name)) for name in named]
    return [folder for folder in folders if folder.is_dir()]


def _optimize(argv: Sequence[str]) -> None:
    if _wants_help(argv):
        from openretina_cli.help_text import optimize_help

        width = min(shutil.get_terminal_size((80, 24)).columns, MAXIMUM_WIDTH)
        write_text(optimize_help([config_directory(), *_own_config_folders(argv)], width))
        return
    from openretina_cli.hydra_app import optimize

    optimize(argv)


def _models(argv: Sequence[str]) -> None:
    if _wants_help(argv):
        write_text(HELP)
        return
    from openretina_cli.models_verb import models

    models(argv)


def _help_or(help_text: str, act: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    if _wants_help(argv):
        write_text(help_text)
    else:
        act([expand_word(word) for word in argv])


def _validate(argv: Sequence[str]) -> None:
    from openretina_cli.validate_verb import HELP, validate

    _help_or(HELP, validate, argv)


def _render(argv: Sequence[str]) -> None:
    from openretina_cli.render_verb import HELP, render

    _help_or(HELP, render, argv)


def _report_runs(argv: Sequence[str]) -> None:
    from openretina_cli.report_verb import HELP, report

    _help_or(HELP, report, argv)


def _complete(argv: Sequence[str]) -> None:
    """Answers a shell's request for completions; whatever is wrong with the line, there are just no candidates."""
    if not any(argument.startswith("query=") for argument in argv):  # to install, which Hydra knows how to
        _optimize(argv)
        return
    line, point = os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", "")
    with redirect_stderr(io.StringIO()):  # libraries may warn
        from openretina_cli.completion import candidates

        found = candidates(line[: int(point)] if point.isdecimal() else line, [*ACTIONS])
    write_text("".join(f"{name}\n" for name in found))


ACTIONS: dict[str, Callable[[Sequence[str]], None]] = {
    "optimize": _optimize,
    "models": _models,
    "render": _render,
    "report": _report_runs,
    "validate": _validate,
}
"""What each verb does."""

WRITE_FILES = ("optimize", "render", "report", "validate")
"""Verbs whose output is in files; what they print is a courtesy."""


def _dispatch(argv: Sequence[str]) -> None:
    if argv[:1] in (["--version"], ["-V"]):
        from importlib.metadata import version

        write_text(f"openretina {version('openretina-cli')}\n")
    elif not argv or argv[0] in ("-h", "--help", "help"):
        write_text(HELP)
    elif argv[0] in ("-sc", "--shell-completion"):
        _complete(argv)
    elif argv[0] in ACTIONS:
        ACTIONS[argv[0]](argv[1:])
    else:
        from openretina_cli.errors import SettingError

        raise SettingError(
            f"there is no verb {argv[0]}", expected="one of " + ", ".join(ACTIONS), repair="openretina --help"
        )


def _report(error: Exception) -> int:
    """Print an error as one line and return the exit code; an error that is nobody's mistake is raised again."""
    from openretina_cli.terminal.console import print_error

    if isinstance(error, OpenRetinaError):
        print_error(str(error))
        return error.exit_code
    from openretina_cli.hydra_errors import explain
    from openretina_cli.shortage import explain_shortage

    if (explained := explain(error) or explain_shortage(error)) is None:
        raise error
    print_error(str(explained))
    return explained.exit_code


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Clean up as after Ctrl-C when a cluster, a supervisor or a closed terminal ends the command.

    Further signals of this kind are ignored, since they would cut the clean-up short.
    """
    del frame
    _on_termination(signal.SIG_IGN)
    raise SystemExit(128 + number)


def _on_termination(handler: Callable[[int, FrameType | None], NoReturn] | signal.Handlers) -> None:
    """Set what SIGTERM and SIGHUP do, except where they are ignored already, as under nohup."""
    for name in TERMINATING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _tame_threads() -> None:
    """Have threads wait without keeping others from work, unless the user's environment says how they wait."""
    # numpy's matrices are tiny here, and its threads would only take turns with torch's at waiting for them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        # GNU OpenMP's threads look 300,000 times whether there is work before they sleep (libgomp manual,
        # GOMP_SPINCOUNT). Two sweeps at once on two cores took 15 to 33 s so, and take 6.5 s with this; one alone takes
        # as long with either, 3.5 s.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@replacing_streams()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0 done, 1 failed, 2 the user's mistake, 130 interrupted; when terminated it exits with 143, and with 129 when the
    terminal is closed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # the process is ours
        _on_termination(_terminate)
        _tame_threads()
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:
        from openretina_cli.terminal.console import print_error

        print_error("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        return _reported(error)
    return 0


def _reported(error: Exception) -> int:
    try:
        return _report(error)
    except MemoryError:  # not even enough to import what explains errors
        sys.stderr.write("openretina: error: there is not enough memory\n")
        return 1


def _lost_output(streams: Streams) -> int:
    """Say why standard output is incomplete; 1 where output is all that was asked for, else 0.

    Nothing is said where the reader has gone, as `head` does, or where nobody listens.
    """
    problem = streams.lost_output
    if problem is None or problem.errno in (errno.EPIPE, errno.EBADF, errno.EIO):
        return 0
    sys.stderr.write(f"openretina: warning: standard output could not be written: {problem.strerror}\n")
    return 0 if sys.argv[1:2] and sys.argv[1] in WRITE_FILES else 1


def command() -> NoReturn:
    """Run the command as the shell calls it.

    Exits with os._exit after flushing, because interpreter teardown with torch loaded takes 0.4 s.
    """
    streams = Streams()
    code = main()
    atexit_needed = threading.active_count() > 1  # of a launcher, which ends its processes when Python ends properly
    if not atexit_needed:
        atexit._run_exitfuncs()
    streams.flush()
    code = code or _lost_output(streams)
    streams.flush()
    if atexit_needed:
        sys.exit(code)
    os._exit(code)
