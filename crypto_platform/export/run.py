"""An export from the marts to a folder: what has changed since the last one is read and written, the rest is linked."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from crypto_platform.export.folder import exporting, link, replacing, sync
from crypto_platform.export.formats import Format
from crypto_platform.export.manifest import NAME, Attachment, File, Manifest
from crypto_platform.export.plan import Plan, plan
from crypto_platform.export.request import ExportError, ExportReport, ExportRequest
from crypto_platform.export.writing import Progress, write
from crypto_platform.research import MarketData
from crypto_platform.settings import Settings


def silent(written: int, files: int, bars: int) -> None:
    """No progress."""


def export(request: ExportRequest, form: Format, settings: Settings, progress: Progress = silent) -> ExportReport:
    """Bring the folder up to what the marts have of the symbols and range; other symbols and times in it stay.

    Raises:
        ExportError: the folder holds something else, another export is at work, there is no room, or the format cannot
            hold what is asked for.
        ReadError: see `MarketData`.
    """
    out = request.out.expanduser().resolve()
    with exporting(settings, out), MarketData(settings) as market:
        manifest = held_manifest(out, form.name, request)
        sources = market.sources(request.symbols, request.start, request.end, request.timeframe, request.feed)
        form.check(request, sources)
        planned = plan(request, market, sources, form.period(request), manifest, lambda file: is_held(out, file))
        attached = dict(form.attachments(request, market, sources))
        result = replace(
            manifest,
            ranges=planned.all_ranges(manifest),
            files=kept_files(planned, manifest),
            attachments={**manifest.attachments, **_files(attached)},
        )
        if planned.changed or planned.removed or not _is_held(out, manifest, result):
            with replacing(out) as staged:
                result.files |= write(planned, market, form.columns, form.writer, form.path, staged, progress)
                for path, content in attached.items():
                    _put(staged / path, content)
                _keep(out, staged, manifest, result)
                result.write(staged)
    return report(planned, result)


def held_manifest(out: Path, form: str, request: ExportRequest) -> Manifest:
    """The folder's manifest, or the first of a new one.

    Raises:
        ExportError: the folder holds something else.
    """
    found = Manifest.read(out)
    if found is not None:
        found.check_same(form, request.parameters, out)
        return found
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out} is a file: give a folder")
    if out.exists() and any(out.iterdir()):
        raise ExportError(f"{out} is not empty and holds no export: give a new folder, or an empty one")
    return Manifest(form, request.parameters)


def is_held(out: Path, file: File) -> bool:
    """Whether a file is still there as it was written, by its size."""
    path = out / file.path
    return path.is_file() and path.stat().st_size == file.bytes


def kept_files(planned: Plan, manifest: Manifest) -> dict[tuple[str, int], File]:
    """The manifest's files that stay as they are."""
    gone = planned.changed | planned.removed
    return {key: file for key, file in manifest.files.items() if key not in gone}


def report(planned: Plan, result: Manifest) -> ExportReport:
    """What was done, of a manifest that has it."""
    return ExportReport(
        written=len(planned.changed),
        unchanged=len(result.files) - len(planned.changed),
        removed=len(planned.removed),
        bars_written=sum(planned.there[key][0] for key in planned.changed),
        bars=sum(file.bars for file in result.files.values()),
        size=sum(file.bytes for file in result.files.values())
        + sum(file.bytes for file in result.attachments.values()),
    )


def _is_held(out: Path, manifest: Manifest, result: Manifest) -> bool:
    """Whether the folder has the result's attachments, and its manifest says all of the result."""
    return manifest == result and all((out / path).is_file() for path in result.attachments)


def _files(attachments: Mapping[str, bytes]) -> dict[str, Attachment]:
    return {path: Attachment(path, len(text), sha256(text).hexdigest()) for path, text in attachments.items()}


def _put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    sync(file)


def _keep(out: Path, staged: Path, manifest: Manifest, result: Manifest) -> None:
    """Link what stays of the old folder: its files, and what is not the export's."""
    gone = {file.path for file in manifest.files.values()} - {file.path for file in result.files.values()}
    if not out.exists():
        return
    for file in out.rglob("*"):
        path = file.relative_to(out)
        if file.is_file() and str(path) not in (NAME, *gone) and not (staged / path).exists():
            link(file, staged / path)
