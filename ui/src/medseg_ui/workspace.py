"""What one owner has open: cases, and the jobs that make their results."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg_ui.cases import DRAFT_ENTRIES, Case, Origin, Result, download_stem
from medseg_ui.history import History, Run
from medseg_ui.jobs import Job, JobManager
from medseg_ui.masks import write_mask
from medseg_ui.storage import Storage


class Workspace:
    """One owner's cases; every method may be called from any thread."""

    def __init__(self, owner: str, *, storage: Storage, jobs: JobManager, history: History) -> None:
        self.owner = owner
        self.storage = storage
        self.last_used = time.monotonic()
        self._jobs = jobs
        self._history = history
        self._cases: dict[str, Case] = {}
        self._lock = threading.RLock()

    @property
    def cases(self) -> list[Case]:
        """All cases, the oldest first."""
        with self._lock:
            return list(self._cases.values())

    def case(self, key: str | None) -> Case | None:
        """A case by its id."""
        return self._cases.get(key or "")

    @property
    def jobs(self) -> list[Job]:
        """All jobs, the oldest first."""
        return self._jobs.of(self.owner)

    def open(self, source: Path, *, title: str, read_options: Mapping[str, Any] | None = None) -> Case:
        """Begin a case: its image is read in a job."""
        case = Case(
            title=title,
            source=source,
            folder=self.storage.new_folder("case"),
            read_options=read_options or {},
        )
        with self._lock:
            self._cases[case.id] = case

        def take(job: Job) -> None:
            case.facts = dict(job.outcome["facts"]) if job.state == "done" else None
            message = job.message.replace(source.name, title)  # the reader knows our name for the file
            case.problem = "" if job.state == "done" else message or "Reading was cancelled."

        task = {"kind": "read", "source": str(source), "options": dict(case.read_options)}
        self._submit(task, case.folder, title=f"Read {title}", on_end=take)
        return case

    def segment(
        self,
        case: Case,
        model: str,
        options: Mapping[str, Any],
        *,
        further: Sequence[Case] = (),
        execution: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> Job:
        """Run a model on a case.

        Args:
            case: what is segmented; of a model of several channels the first.
            model: full name.
            options: of its network.
            further: the other channels, in the model's order.
            execution: what ``medseg.Execution`` takes.
            force: run although the contract doubts the image; the result says so.
        """
        folder = self.storage.new_folder("result")
        short = model.partition(":")[2]
        started = time.time()

        def take(job: Job) -> None:
            provenance = job.outcome.get("provenance", {})
            run = Run(
                owner=self.owner,
                started=started,
                model=model,
                state=job.state,
                seconds=round(job.seconds, 1),
                weights_sha256=provenance.get("weights_sha256", ""),
                labels={e["name"]: round(e["ml"], 2) for e in job.outcome.get("entries", [])},
            )
            self._history.add(run)
            self._take_result(case, job, title=short, origin="model")

        task = {
            "kind": "segment",
            "channels": _channels(case, further),
            "volume": str(case.volume),
            "model": model,
            "options": dict(options),
            "execution": dict(execution or {}),
            "force": force,
        }
        return self._submit(task, folder, title=f"{short} on {case.title}", on_end=take)

    def check(self, case: Case, model: str, further: Sequence[Case]) -> Job:
        """List what a model of several channels objects to; the same images are checked once."""
        key = (model, *(other.id for other in further))
        with self._lock:
            if key not in case.checks:
                task = {"kind": "check", "channels": _channels(case, further), "model": model}
                title = f"Check {1 + len(further)} channels"
                case.checks[key] = self._submit(task, self.storage.new_folder("check"), title=title)
            return case.checks[key]

    def add_reference(self, case: Case, source: Path, *, title: str) -> Job:
        """Take a label map that somebody else made."""
        task = {"kind": "reference", "source": str(source), "volume": str(case.volume)}

        def take(job: Job) -> None:
            self._take_result(case, job, title=title, origin="reference")
            self._discard(source)

        return self._submit(task, self.storage.new_folder("result"), title=f"Read {title}", on_end=take)

    def refine(self, case: Case, result: Result, step: str, options: Mapping[str, Any]) -> Job:
        """Apply a plugin's step to a result; the outcome is a result of its own."""
        task = {
            "kind": "refine",
            "step": step,
            "options": dict(options),
            "labels": str(result.labels),
            "before": str(result.before_edits) if result.before_edits.exists() else "",
            "volume": str(case.volume),
            "entries": result.classes or result.entries,
            "origin": {"of": {"result": result.title, "provenance": dict(result.provenance)}},
        }
        short = step.partition(":")[2] or step

        def take(job: Job) -> None:
            self._take_result(case, job, title=f"{result.title}, {short}", origin="refined")

        return self._submit(
            task, self.storage.new_folder("result"), title=f"{short} on {result.title}", on_end=take
        )

    def save_edit(self, case: Case, result: Result | None, sent: Path) -> Result:
        """Keep labels that were drawn in the browser.

        The first save makes a result of its own, further ones replace it; what a model or a colleague
        made stays as it was.

        Args:
            case: whose image they were drawn on.
            result: what was edited; None for a drawing from nothing.
            sent: the request's body, see ``medseg_ui.masks.write_mask``.

        Raises:
            VolumeError: the body does not fit the image or the labels.
        """
        entries = result.entries if result else DRAFT_ENTRIES
        target = result if result and result.origin == "edited" else None
        folder = target.folder if target else self.storage.new_folder("result")
        voxels = write_mask(sent, folder / "labels.nii.gz", like=case.volume, entries=entries)
        if result and target is None:
            shutil.copyfile(result.labels, folder / "before.nii.gz")
        assert case.facts is not None  # an image that was not read is not shown, and cannot be drawn on
        ml = case.facts["voxel_ml"]
        counted = [
            entry
            | {"voxels": voxels[entry["index"]], "ml": voxels[entry["index"]] * ml, "mean": None, "cut": []}
            for entry in entries
        ]
        if target is None:
            target = Result(
                title=f"{result.title}, edited" if result else "drawing",
                origin="edited",
                folder=folder,
                entries=counted,
                model=result.model if result else "",
                classes=(result.classes or [_plain(e) for e in entries]) if result else [],
                provenance=dict(result.provenance) if result else {},
            )
            with self._lock:
                case.results.append(target)
        target.entries, target.revision = counted, target.revision + 1
        target.exports.clear()
        edits = list(target.provenance.get("edited_by_hand", []))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        target.provenance = {**target.provenance, "edited_by_hand": [*edits, stamp]}
        self._measure(case, target)
        return target

    def _measure(self, case: Case, result: Result) -> None:
        revision = result.revision

        def take(job: Job) -> None:
            if job.state == "done" and result.revision == revision:
                result.entries = list(job.outcome["entries"])
                result.centre = job.outcome["centre"]

        task = {"kind": "measure", "volume": str(case.volume), "entries": [_plain(e) for e in result.entries]}
        self._submit(task, result.folder, title=f"Measure {result.title}", on_end=take)

    def compare(self, case: Case, first: Result, second: Result) -> Job:
        """Compare two results; the same two as they are now are compared once."""
        key = (first.shown_id, second.shown_id)
        with self._lock:
            if key not in case.comparisons:
                task = {
                    "kind": "compare",
                    "first": str(first.labels),
                    "second": str(second.labels),
                    "volume": str(case.volume),
                    "entries": [[_plain(entry) for entry in each.entries] for each in (first, second)],
                }
                folder = self.storage.new_folder("comparison")
                title = f"{first.title} against {second.title}"
                case.comparisons[key] = self._submit(task, folder, title=title)
            return case.comparisons[key]

    def export(self, case: Case, result: Result, name: str, suffix: str) -> Job:
        """Write a result as another object."""
        file = f"{download_stem(result)}{suffix}"
        task = {
            "kind": "export",
            "name": name,
            "file": file,
            "labels": str(result.labels),
            "source": str(case.source),
            "read_options": dict(case.read_options),
            "fingerprint": _fingerprint(case),
            "model": result.model,
            "classes": result.classes or [_plain(entry) for entry in result.entries],
            "provenance": dict(result.provenance),
        }
        result.exports[name] = self._submit(task, self.storage.new_folder("export"), title=f"Write {file}")
        return result.exports[name]

    def cancel(self, job: Job) -> None:
        """Stop a job."""
        self._jobs.cancel(job)

    def place_in_queue(self, job: Job) -> int:
        """How many jobs come before this one."""
        return self._jobs.ahead(job)

    def close(self, case: Case) -> None:
        """Remove a case and all its files, the uploaded ones included."""
        with self._lock:
            self._cases.pop(case.id, None)
        self._discard(case.source)
        for folder in (case.folder, *(result.folder for result in case.results)):
            self.storage.remove(folder)

    def allow(self, case: Case, permissions: Mapping[str, Any]) -> Case:
        """Read a case that was refused again, with permissions; it takes the old place."""
        options = {**case.read_options, **permissions}
        opened = self.open(case.source, title=case.title, read_options=options)
        self.close(case)
        return opened

    def _discard(self, source: Path) -> None:
        """Remove an upload that no case needs any longer; what is not ours stays."""
        needed = any(case.source == source for case in self.cases)
        if source.is_relative_to(self.storage.root) and not needed:
            self.storage.remove(source)

    def erase(self) -> None:
        """Remove everything, stop what runs."""
        self._jobs.forget(self.owner)
        for case in self.cases:
            self.close(case)

    def _take_result(self, case: Case, job: Job, *, title: str, origin: Origin) -> None:
        if job.state != "done" or case.id not in self._cases:
            self.storage.remove(job.folder)
            return
        outcome = job.outcome
        provenance = outcome["provenance"]
        (job.folder / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
        result = Result(
            title=_unlike(title, [other.title for other in case.results]),
            origin=origin,
            folder=job.folder,
            entries=list(outcome["entries"]),
            centre=outcome["centre"],
            model=outcome["model"],
            classes=list(outcome["classes"]),
            provenance=provenance,
            warnings=list(outcome.get("warnings", [])),
            maps=list(outcome.get("maps", [])),
            frames=list(outcome.get("frames", [])),
        )
        with self._lock:
            case.results.append(result)

    def _submit(
        self,
        task: Mapping[str, Any],
        folder: Path,
        *,
        title: str,
        on_end: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        return self._jobs.submit(Job(owner=self.owner, task=task, folder=folder, title=title, on_end=on_end))


def _channels(case: Case, further: Sequence[Case]) -> list[dict[str, Any]]:
    """The images of a model's channels, in its order, as tasks read them."""
    return [
        {"source": str(c.source), "options": dict(c.read_options), "fingerprint": _fingerprint(c)}
        for c in (case, *further)
    ]


def _fingerprint(case: Case) -> str:
    assert case.facts is not None  # an image that was not read is offered to no model and no export
    fingerprint: str = case.facts["fingerprint"]
    return fingerprint


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("value", "name", "colour")}


def _unlike(title: str, others: list[str]) -> str:
    if title not in others:
        return title
    return next(f"{title} {n}" for n in range(2, len(others) + 3) if f"{title} {n}" not in others)
