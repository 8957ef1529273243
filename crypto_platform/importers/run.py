"""Files in, recordings out: `import_files`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from crypto_platform.importers.folder import Folder, stage_in
from crypto_platform.importers.options import Options
from crypto_platform.importers.reading import read
from crypto_platform.importers.report import FileReport, Report
from crypto_platform.importers.source import RefusedError, files_of, sources
from crypto_platform.importers.spool import Spool
from crypto_platform.importers.symbols import Naming

# Takes a file, a line of it, the reason and the detail of a row that is not imported.
RowLog = Callable[[str, int, str, str], None]


def import_files(
    paths: Sequence[Path],
    folder: Path,
    options: Options | None = None,
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Callable[[FileReport], None] = lambda file: None,
    log: RowLog | None = None,
) -> Report:
    """Import files, zips and folders of them into a folder of recordings; a dry run leaves it as it is.

    A file that cannot be imported is in the report, and the others are imported. All that is to be written has been
    before the folder changes. `progress` is called after each file.

    Raises:
        RecordingError: a file that is in the folder is bad.
        FolderInUseError: another import has the folder for a minute; nothing is changed.
        OSError: the folder cannot be written, or its disk is full.
    """
    options = options or Options()
    naming = Naming(options.symbol, options.symbols)
    files: list[FileReport] = []
    refused: list[int] = []
    with stage_in(None if dry_run else folder) as stage:
        spool = Spool(stage)
        for path in files_of(paths):
            try:
                for source in sources(path):
                    file = FileReport(source, log=partial(log, str(source)) if log else None)
                    files.append(file)
                    try:
                        read(source, len(files) - 1, options, naming, spool, file)
                    except (RefusedError, pa.ArrowException) as error:  # Arrow's: a column of a type that holds no bars
                        refused.append(len(files) - 1)
                        file.refuse(str(error) if isinstance(error, RefusedError) else f"{source}: {error}")
                    progress(file)
            except RefusedError as error:
                files.append(FileReport(path, refused=str(error)))
                progress(files[-1])
        target = Folder(folder, stage)
        target.look(spool.partitions)
        written = []
        for partition in spool.partitions:
            bars = spool.take(partition)
            if refused:
                bars = bars.filter(pa.array(~np.isin(bars["file"].to_numpy(), refused)))
            if len(bars):
                written.append(target.merge(partition, bars, files, replace))
        if not dry_run:
            target.commit()
    return Report(files, written)
