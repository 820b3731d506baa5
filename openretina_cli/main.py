"""The command `openretina`: finds its verbs, and keeps exit codes, one line per error, streams and signals."""

from __future__ import annotations

import atexit
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from openretina_cli import neighbour
from openretina_cli.errors import OpenRetinaError, SettingError
from openretina_cli.store.package import own_text
from openretina_cli.terminal.streams import Streams, replacing_streams, write_text

HELP = """\
usage: openretina VERB ...

Find the video that a cell of a digital-twin retina likes best.

{verbs}
  openretina VERB --help   the arguments of a verb
  openretina --version     print the version

  openretina optimize objective=mei neuron=42
  openretina optimize experiment=hoefling_2024 model=hoefling_2024 neuron=100
"""

INTERRUPTED = 130
TERMINATING = ("SIGTERM", "SIGHUP")
VERBS = Path(__file__).parent / "verbs"
"""Holds a file NAME.py for each verb, see `openretina_cli.verbs`."""

DOCSTRING = re.compile(r'(?:\s|#.*\n)*"{1,3}(?P<line>[^"\n]*)')
"""The first line of the docstring at the top of a file."""


def _wants_help(argv: Sequence[str]) -> bool:
    return any(argument in ("-h", "--help") for argument in argv)


def _verb_names() -> list[str]:
    """The verbs, one for each file in their folder."""
    names = (path.stem for path in VERBS.glob("*.py"))
    return sorted(name for name in names if name.isidentifier() and not name.startswith("_"))


def _verb(name: str) -> ModuleType:
    """The module of a verb.

    Raises:
        SettingError: there is no such verb.
    """
    names = _verb_names()
    if name in names:
        return import_module(f"openretina_cli.verbs.{name}")
    if (error := neighbour.missing(name)) is not None:
        raise error
    from openretina_cli.checks import closest

    names += neighbour.verbs()
    raise SettingError(f"there is no verb {name}", expected=closest(name, names), repair="openretina --help")


def _first_line(name: str) -> str:
    """The first line of a verb's docstring, read from the source: imports of all verbs would take half a second."""
    found = DOCSTRING.match(own_text(VERBS / f"{name}.py"))
    return found["line"] if found else ""


def _help() -> str:
    names = _verb_names()
    width = max(len(name) for name in [*names, "VERB --help"])
    lines = [f"  openretina {name:<{width}}   {_first_line(name)}".rstrip() for name in names]
    return HELP.format(verbs="\n".join([*lines, *neighbour.help_lines(width)]))


def _complete(argv: Sequence[str]) -> None:
    """Answers a shell's request for completions; whatever is wrong with the line, there are just no candidates."""
    if not any(argument.startswith("query=") for argument in argv):  # to install, which Hydra knows how to
        _verb("optimize").run(argv)
        return
    line, point = os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", "")
    with redirect_stderr(io.StringIO()):  # libraries may warn
        from openretina_cli.completion import candidates

        typed = line[: int(point)] if point.isdecimal() else line
        found = candidates(typed, [*_verb_names(), *neighbour.verbs()], lambda name: _verb(name).complete)
    write_text("".join(f"{name}\n" for name in found))


def _dispatch(argv: Sequence[str]) -> None:
    if argv[:1] in (["--version"], ["-V"]):
        from importlib.metadata import version

        write_text(f"openretina {version('openretina-cli')}\n")
    elif not argv or argv[0] in ("-h", "--help", "help"):
        write_text(_help())
    elif argv[0] in ("-sc", "--shell-completion"):
        _complete(argv)
    elif argv[0] == neighbour.REPLACED:
        if not _wants_help(argv):
            raise neighbour.replacement(argv[1:])
        write_text(neighbour.REPLACEMENT)
    else:
        verb, words = _verb(argv[0]), argv[1:]
        if _wants_help(words):
            write_text(verb.help_text(words))
        else:
            verb.run(words)


def _report(error: Exception) -> int:
    """Print an error as one line and return the exit code; an error that is nobody's mistake is raised again."""
    from openretina_cli.terminal.console import print_error

    if isinstance(error, OpenRetinaError):
        print_error(str(error))
        return error.exit_code
    from openretina_cli.config.errors import explain
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
    return 0 if _writes_files(sys.argv[1:]) else 1


def _writes_files(argv: Sequence[str]) -> bool:
    """Whether the output of a command is in files, so that what it prints is a courtesy."""
    return argv[:1] != [] and argv[0] in _verb_names() and getattr(_verb(argv[0]), "WRITES_FILES", False)


def _is_theirs(words: Sequence[str]) -> bool:
    """Whether the first word is a verb of the package openretina."""
    named = words[:1] != [] and not words[0].startswith("-") and not (VERBS / f"{words[0]}.py").is_file()
    return named and words[0] in neighbour.verbs()


def command() -> NoReturn:
    """Run the command as the shell calls it.

    A verb of the package openretina is handed over before anything here touches streams, signals or threads. Otherwise
    exits with os._exit after flushing, because interpreter teardown with torch loaded takes 0.4 s.
    """
    if _is_theirs(sys.argv[1:2]):
        sys.exit(neighbour.hand_over(sys.argv[1:]))
    streams = Streams()
    code = main()
    threading = sys.modules.get("threading")  # help need not wait for it
    # a launcher's threads end its processes when Python ends properly
    atexit_needed = threading is not None and threading.active_count() > 1
    if not atexit_needed:
        atexit._run_exitfuncs()
    streams.flush()
    code = code or _lost_output(streams)
    streams.flush()
    if atexit_needed:
        sys.exit(code)
    os._exit(code)
