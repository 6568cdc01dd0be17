"""Files of what is worth keeping: the newest few, or the best few by a metric."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rnnr._errors import as_integer, check_choice, wrong_value
from rnnr._links import link_atomic
from rnnr._pipeline import Pipeline, named, stateless
from rnnr.files import KeptFiles
from rnnr.operators._all_but_newest import all_but_newest
from rnnr.operators._delete_files import delete_files
from rnnr.operators._do import do
from rnnr.operators._file_saver import FileSaver
from rnnr.operators._improvement import MODE_CURE, MODES
from rnnr.operators._pipeline import pipeline
from rnnr.operators._ranking import Ranking
from rnnr.operators._when import when as only_when
from rnnr.state import State, reader

__all__ = ["checkpoint", "save"]

_KEPT = "the newest file is always kept"
_WHEN_CURE = "set it to True or False in a callback that is added before the checkpoint"


def checkpoint(
    what: str,
    obj: Any = None,
    *,
    under: str | os.PathLike[str] | None = None,
    at_most: int = 1,
    best: str | None = None,
    mode: str = "min",
    when: str | None = None,
    link: str | None = None,
    using: Callable[[Any, Path], object] | None = None,
    ext: str = "pkl",
    prefix_fmt: str = "{epoch}_",
    queue_fmt: str = "_saved_{what}",
) -> Pipeline[State, Any]:
    """Make a callback that saves an object and keeps the newest few files, or the best few.

    The file is ``{prefix_fmt}{what}.{ext}`` in the directory ``under``, and each save is logged
    on ``rnnr.callbacks.checkpointing``. The default writer pickles into a file aside, flushes it to
    disk and renames it: a run that is killed leaves the older file or the newer, whole, and
    a fragment aside at most, which the next save removes. Older files are deleted
    after the new one is in place.

    A checkpoint deletes what it has written itself, in this run (which may have been resumed, also
    by another process) and in this folder. Files of an earlier run or of the run whose
    state this one was given stay, and so does what another checkpoint of the run keeps, or what
    has changed since it was saved. What cannot be deleted is logged, and tried again.

    With ``best``, a file is written if it is then among the best ``at_most`` of this run. A NaN
    never is. Of two equal values the earlier one is better. The values are in the memory of the
    run, so a resumed run goes on with them. Attach it where the metric is computed: it takes the
    value that the state has.

    Args:
        what: Name of the object.
        obj: Object to save. If ``None``, ``state[what]`` is saved.
        under: Directory of the files, created if it is missing. Defaults to the current
            working directory, as it is now; a relative path begins there, too.
        at_most: Number of files to keep.
        best: If given, keep the files with the best values of ``state[best]``, a number, a NumPy
            scalar or a tensor of one item, instead of the newest files.
        mode: With ``best``, ``"min"`` if less is better, ``"max"`` if more is.
        when: If given, save only when ``state[when]`` is true.
        link: If given, a name in the directory that always leads to the best file, without
            ``best`` to the newest: a hard link, or a copy where the file system has none; for a
            folder a symbolic link. It is replaced atomically, before an older file is deleted.
        using: Called as ``using(obj, path)`` to write the file instead, for example
            ``torch.save``. It gets the final path, so a kill in the middle of it leaves a
            fragment there. It may make a folder, and must be through when it returns.
        ext: Extension of the file, with or without its dot.
        prefix_fmt: Format of the file name's beginning; keys of the state are its fields.
        queue_fmt: Format of the key under which the paths of the kept files are found, as a
            deque, the oldest first (see `rnnr.files.SavedFiles`). Checkpoints may share it.

    Returns:
        The callback.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``at_most`` is below 1, ``mode`` is unknown or given without ``best``, or a
            format or ``link`` cannot be used; when it is attached, if another part of the runner
            than a checkpoint writes under that key, or another checkpoint a file of the same name;
            in a run, if it would overwrite what another one keeps as one of its best, or ``link``
            is the name of one of the files.
        OSError: If ``under`` is not a directory and cannot become one, or cannot be written to.
        KeyError: When the callback is called and a key of the state is missing.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.callbacks import checkpoint
        >>> with TemporaryDirectory() as folder:
        ...     runner = Runner()
        ...     runner.state["model"] = "MODEL"
        ...     last_three = checkpoint("model", under=folder, at_most=3)
        ...     subscription = runner.on(Event.EPOCH_FINISHED, last_three)
        ...     runner.run(range(3), max_epoch=7)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['5_model.pkl', '6_model.pkl', '7_model.pkl']
        >>> losses = iter([0.5, 0.25, 0.75, 0.125])
        >>> with TemporaryDirectory() as folder:
        ...     runner = Runner()
        ...     @runner.on(Event.EPOCH_FINISHED)
        ...     def evaluate(state):
        ...         state["model"], state["valid_loss"] = "MODEL", next(losses)
        ...     best_two = checkpoint("model", under=folder, best="valid_loss", at_most=2)
        ...     subscription = runner.on(Event.EPOCH_FINISHED, best_two)
        ...     runner.run([], max_epoch=4)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['2_model.pkl', '4_model.pkl']
    """
    part = f"checkpoint({what!r})"
    keep = as_integer("at_most", at_most, 1, _KEPT)
    check_choice("mode", mode, MODES, MODE_CURE)
    if best is None and mode != "min":
        cure = "name the metric, best='accuracy', or save the newest without a mode"
        raise wrong_value("mode", "left out where best is not given", mode, cure)
    ranking = None if best is None else Ranking(part, best, mode)
    saver = FileSaver(
        part,
        what,
        obj,
        when=when,
        under=under,
        using=using,
        ext=ext,
        prefix_fmt=prefix_fmt,
        queue_fmt=queue_fmt,
        ranking=ranking,
        link=link,
    )
    wanted = [] if when is None else [only_when(reader(when, part, _WHEN_CURE))]
    ordered, linked = [], []
    if ranking:
        wanted.append(only_when(partial(saver.is_among_best, ranking, keep)))
        ordered.append(stateless(ranking.worst_first))
    if saver.link:
        linked.append(do(partial(_link_last, saver.link)))
    save = pipeline(saver.operator(), *ordered, *linked, all_but_newest(keep), delete_files())
    return named(pipeline(do(saver.begin), *wanted, do(save)), part)


def _link_last(link: Path, files: KeptFiles) -> None:
    link_atomic(Path(files.paths[-1]), link)


save = checkpoint
"""Another name for `checkpoint`."""
