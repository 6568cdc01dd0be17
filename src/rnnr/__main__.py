"""The command line: ``python -m rnnr dashboard run.jsonl`` and others."""

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import rnnr

_EPILOG = """
examples:
  python -m rnnr dashboard run.jsonl
  python -m rnnr dashboard runs/ best.jsonl=yesterday
  python -m rnnr dashboard 'runs/*/training.jsonl'

A folder has all *.jsonl below it, except in hidden folders and behind links. A pattern is best
written in quotes. New recordings in both are shown when they are found, and there may be none at
first. A folder that is not there so far is waited for: write its slash. Their names are their
paths below the folder. A file without =NAME is shown under its path.

exit status:
  0  ended by Ctrl-C, as is usual
  1  the page cannot be opened: a file, the host, the port or the extra is wrong or missing
  2  the command itself is wrong
"""

_SNAPSHOTS_EPILOG = """
The name of a snapshot has the number of batches, the epoch, and a letter: S before the start,
B after a batch, E after the end of an epoch, F when the run had finished.

status:
  whole     a run can go on from it: the seal and the sizes are right, with --verify the sums, too
  damaged   it was written to its end and has changed since; a run warns of it and goes on from the
            one before
  fragment  it is being written or removed, or a kill has interrupted that; the next run removes it

exit status:
  0  at least one snapshot is whole
  1  none is: no folder, no snapshot, or damaged ones and fragments alone
  2  the command itself is wrong
"""

_EXPORT_EPILOG = """
examples:
  python -m rnnr export run.jsonl > run.csv
  python -m rnnr export run.jsonl | grep -E '^(event|EPOCH_FINISHED),'

exit status:
  0  the table was written
  1  the recording is not there, or cannot be read
  2  the command itself is wrong
"""

_WATCH_EPILOG = """
exit status:
  0  the run has ended, or Ctrl-C was pressed
  1  the recording is not there, or cannot be read, or rich is not installed
  2  the command itself is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Arguments after ``python -m rnnr``; those of the process, unless given.

    Returns:
        The exit status of the process.
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (ImportError, OSError, ValueError) as error:
        print(f"rnnr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rnnr",
        description="Tools for runs of rnnr.",
        epilog="'python -m rnnr COMMAND --help' explains a command",
    )
    parser.add_argument("--version", action="version", version=f"rnnr {rnnr.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_dashboard(commands.add_parser)
    _add_snapshots(commands.add_parser)
    _add_export(commands.add_parser)
    _add_watch(commands.add_parser)
    return parser


def _add_dashboard(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add_parser(
        "dashboard",
        help="show recordings, finished or still growing, in the browser",
        description="Show recordings side by side in one page of the browser, and follow those "
        "that are still being written. Press Ctrl-C to end it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recordings",
        nargs="+",
        metavar="PATH[=NAME]",
        help="recording made by rnnr.recording.Record, such as run.jsonl, or a folder or pattern "
        "of recordings; with a name, if you like",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0, the default, picks a free one"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address of this machine to listen on; 127.0.0.1, the default, can be reached from "
        "this machine only, 0.0.0.0 from all machines",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="additional host name to accept, for example that of a proxy; may be repeated",
    )
    parser.set_defaults(run=_dashboard)


def _add_snapshots(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add_parser(
        "snapshots",
        help="list the snapshots of a run, finished or still going on",
        description="List the snapshots in a folder, the newest first. Nothing is written, and the "
        "folder is not locked.",
        epilog=_SNAPSHOTS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder that the script gives to rnnr.durable.Snapshots",
    )
    parser.add_argument(
        "--verify", action="store_true", help="read all of each snapshot, and compare the sums"
    )
    parser.set_defaults(run=_snapshots)


def _add_export(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add_parser(
        "export",
        help="write the metrics in a recording as a table",
        description="Write the metrics in a recording to standard output, a row for each report "
        "that has some. Select rows by their event: BATCH, EPOCH_FINISHED and others.",
        epilog=_EXPORT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recording", type=Path, metavar="FILE", help="recording made by rnnr.recording.Record"
    )
    parser.add_argument(
        "--csv", action="store_true", help="as CSV, which is the only format so far"
    )
    parser.set_defaults(run=_export)


def _add_watch(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    parser = add_parser(
        "watch",
        help="show a recording in the terminal while it grows, for example over SSH",
        description="Show the progress, the last epochs and the metrics of a recorded run, until "
        "it has ended. Where the output is not a terminal, show it once. It needs rich.",
        epilog=_WATCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recording", type=Path, metavar="FILE", help="recording made by rnnr.recording.Record"
    )
    parser.set_defaults(run=_watch)


def _dashboard(options: argparse.Namespace) -> int:
    from rnnr.dashboard import Dashboard
    from rnnr.dashboard._names import path_and_name
    from rnnr.dashboard._search import is_search

    logging.basicConfig(format="%(message)s", level=logging.INFO)
    dashboard = Dashboard(options.port, options.host, allowed_hosts=tuple(options.allowed_host))
    try:
        given = dict.fromkeys(map(path_and_name, options.recordings))
        for path, name in sorted(given, key=lambda each: is_search(each[0])):  # files come first
            dashboard.follow(path, name)
        print("Press Ctrl-C to end it.", file=sys.stderr)
        threading.Event().wait()
    finally:
        dashboard.close()
    return 0  # pragma: no cover  (only an interrupt ends the wait)


def _snapshots(options: argparse.Namespace) -> int:
    from rnnr.durable._listing import print_snapshots

    print_snapshots(options.folder, verify=options.verify)
    return 0


def _export(options: argparse.Namespace) -> int:
    from rnnr.recording._export import write_csv

    try:
        write_csv(options.recording, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # pragma: no cover  (of `| head`: a test has a process of its own)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _watch(options: argparse.Namespace) -> int:
    if find_spec("rich") is None:
        message = "watch needs rich, which cannot be found; install it with: pip install rich"
        raise ModuleNotFoundError(message, name="rich")
    from rich.console import Console

    from rnnr._terminal._screen import watch

    watch(options.recording, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
