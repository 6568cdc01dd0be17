"""Files deleted that nobody keeps."""

import logging
import os
from pathlib import Path

from rnnr._pipeline import Pipeline, stateless
from rnnr.files import KeptFiles, SavedFile, SavedFiles, delete, is_stamped, stamp
from rnnr.operators._file_saver import other_keepers
from rnnr.operators._save_file import check_files

__all__ = ["delete_files"]

logger = logging.getLogger("rnnr.callbacks.checkpointing")


def delete_files() -> Pipeline[KeptFiles, KeptFiles]:
    """Delete files that `save_file` has written, and forget them in the state.

    A file that another part of the run keeps stays, and so does one that has changed since it was
    saved. What cannot be deleted is logged on ``rnnr.callbacks.checkpointing``, stays in the
    state, and comes again with the next file.

    Raises:
        TypeError: In the stream, if what comes is not files.

    Example:
        ::

            source:   --(a)--(a,b)--|
                      [ delete_files() ]
            result:   --(a)--(a,b)--|      a is deleted, then b

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import all_but_newest, delete_files, pipeline, save_file
        >>> with TemporaryDirectory() as folder:
        ...     runner = Runner()
        ...     saved = save_file("epoch", under=folder)
        ...     newest_two = pipeline(saved, all_but_newest(2), delete_files())
        ...     subscription = runner.on(Event.EPOCH_FINISHED, newest_two)
        ...     runner.run([], max_epoch=5)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['4_epoch.pkl', '5_epoch.pkl']
    """
    return stateless(_delete)


def _delete(kept: KeptFiles) -> KeptFiles:
    check_files("delete_files()", kept)
    files = {**SavedFiles.of(kept.state.get(kept.key)).files}
    for path in kept.paths:
        if path not in files:
            continue
        others = tuple(name for name in files[path].savers if name != kept.saver)
        if others:
            files[path] = files[path]._replace(savers=others)
        elif other_keepers(kept.state, kept.key, Path(path)) or _is_gone(Path(path), files[path]):
            del files[path]
    kept.state[kept.key] = SavedFiles(files)
    return kept


_delete.__qualname__ = "delete_files()"


def _is_gone(path: Path, file: SavedFile) -> bool:
    """Delete a file; return whether there is nothing left to be done."""
    if not os.path.lexists(path):
        return True
    if not is_stamped(path, file.stamp):
        logger.warning("Not deleting %s: it has changed since it was saved", path)
        return True
    try:
        delete(path)
    except OSError as error:
        stamp(path, file.stamp or 0)  # half of a folder may be gone
        logger.warning("Cannot delete %s, trying again after the next save: %s", path, error)
        return False
    return True
