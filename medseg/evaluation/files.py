"""An evaluation on disk: tables for programs, a document, and a page for people; all of them or none."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medseg.atomic import write_together
from medseg.errors import OptionError, ResourceError
from medseg.evaluation.document import to_document
from medseg.evaluation.lesions import Lesion
from medseg.evaluation.paired import Comparison
from medseg.evaluation.scores import Score
from medseg.evaluation.statistics import Summary
from medseg.evaluation.study import Study

REPORT = "report.html"
DOCUMENT = "evaluation.json"


def write_study(
    study: Study,
    folder: Path,
    *,
    page: Callable[[], str],
    pictures: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the files of an evaluation; the document is the last to appear.

    Args:
        study: what was found.
        folder: made if it does not exist.
        page: makes the page for people.
        pictures: PNG of a typical case of each model.
        overwrite: replace the files of an earlier evaluation.

    Returns:
        The files.

    Raises:
        OptionError: an earlier evaluation is there.
        ResourceError: the system refused, or pyarrow is missing; nothing was written.
    """
    writers: dict[str, Callable[[Path], None]] = {
        "scores.csv": partial(_write_csv, study.scores, Score),
        "scores.parquet": partial(_write_parquet, study),
        "summary.csv": partial(_write_csv, study.summaries, Summary),
    }
    if study.comparisons:
        writers["comparisons.csv"] = partial(_write_csv, study.comparisons, Comparison)
    if study.subgroups:
        groups = [summary for subgroups in study.subgroups for summary in subgroups.summaries]
        writers["subgroups.csv"] = partial(_write_csv, groups, Summary)
    if study.settings.lesions:
        writers["lesions.csv"] = partial(_write_csv, study.lesions, Lesion)
    html = page()
    writers[REPORT] = lambda part: _write_text(html, part)
    named = {model: f"typical{n or ''}.png" for n, model in enumerate(pictures or {})}
    for model, content in (pictures or {}).items():
        writers[named[model]] = partial(_write_bytes, content)
    text = json.dumps(to_document(study, pictures=named), indent=1) + "\n"
    writers[DOCUMENT] = lambda part: _write_text(text, part)
    check_free(folder, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error
    files = [(folder / name, write) for name, write in writers.items()]
    write_together(files)
    return [path for path, _ in files]


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace an earlier evaluation.

    Raises:
        OptionError: there is one, and it is not to be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{folder} is a file; -o names a folder for the results")
    if (folder / DOCUMENT).exists() and not overwrite:
        raise OptionError(f"{folder} holds an evaluation; use --overwrite to replace it")


def _write_csv(rows: Iterable[Any], kind: type, path: Path) -> None:
    """One row each; numbers in full, an empty cell for what there is not and for NaN."""
    columns = [field.name for field in dataclasses.fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)
    _write_text(text.getvalue(), path)


def _write_parquet(study: Study, path: Path) -> None:
    try:
        study.scores.to_pandas().to_parquet(path, index=False)
    except ImportError as error:
        raise ResourceError(f"Parquet needs the package pyarrow: pip install pyarrow ({error})") from error


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(f"{item:.3f}" for item in value)
    return value
