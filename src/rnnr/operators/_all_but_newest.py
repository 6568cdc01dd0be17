"""What falls out of the window of the newest files."""

from rnnr._errors import as_integer
from rnnr._pipeline import Pipeline, passing, stateless
from rnnr.files import KeptFiles
from rnnr.operators._save_file import check_files
from rnnr.state import MISSING

__all__ = ["all_but_newest"]


def all_but_newest(n: int) -> Pipeline[KeptFiles, KeptFiles]:
    """Pass on the files that are not among the newest n, where there are some.

    The files come from `save_file`, the oldest first. It keeps their list in the state, so the
    window survives a pickle and a resume.

    Args:
        n: Number of files in the window.

    Raises:
        TypeError: If ``n`` is not an integer; in the stream, if what comes is not files.
        ValueError: If ``n`` is below 1.

    Example:
        ::

            source:   --(a)--(a,b)--(a,b,c)--|
                      [ all_but_newest(2) ]
            result:   -----------------(a)---|

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import all_but_newest, do, pipeline, save_file
        >>> with TemporaryDirectory() as folder:
        ...     runner = Runner()
        ...     old = do(lambda files: print("old:", *(Path(path).name for path in files.paths)))
        ...     saved = pipeline(save_file("epoch", under=folder), all_but_newest(2), old)
        ...     subscription = runner.on(Event.EPOCH_FINISHED, saved)
        ...     runner.run([], max_epoch=4)
        old: 1_epoch.pkl
        old: 1_epoch.pkl 2_epoch.pkl
    """
    cure = "the newest file is always kept"
    n = as_integer("n", n, 1, cure)

    part = f"all_but_newest({n})"

    def step(files: KeptFiles) -> object:
        check_files(part, files)
        older = files.paths[:-n]
        return files._replace(paths=older) if older else MISSING

    step.__qualname__ = part
    return passing(stateless(step))
