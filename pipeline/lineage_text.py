"""Where a pushed model comes from, as text."""

from __future__ import annotations

from collections.abc import Iterator

from cxr.core.counts import how_many
from cxr.core.disclaimer import SYNTHETIC
from cxr.core.features import UNKNOWN
from cxr.core.intervals import NONE
from cxr.pipeline.config_differences import lines
from cxr.pipeline.lineage import Lineage
from cxr.pipeline.workspace import REPORT


def sections(found: Lineage) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields what is shown: headings, and below each names and values."""
    champion = " (champion)" if found.champion else ""
    version = f"version {found.version}{champion}" if found.version else "not pushed"
    warning = f" ({SYNTHETIC})" if found.synthetic else ""
    yield f"{found.model}, {version}{warning}", list(_pushed(found))

    training = [("code version", found.code_version or NONE), ("weights", found.weights or NONE)]
    if found.ensemble_method:
        training.append(("method", found.ensemble_method))
    members = [
        (f"member {name}", f"{f'version {one.version}' if one.version else 'version not known'}; {one.backbone or NONE}, {one.weights}")
        for name, one in found.members.items()
    ]
    yield "Made of", training + members

    yield "Data", list(_data(found)) or [("not stated: the model is from an older version", "")]

    if found.run and not found.run.shipped:
        yield "Configuration", [("the run's configuration cannot be read", "")]
    elif found.run:
        differing = [(line, "") for line in lines(found.run.changed)]
        yield f"Configuration: {'what' if differing else 'nothing'} differs from the shipped {found.run.shipped}", differing
    else:
        settings = ", ".join(f"{key} {value}" for key, value in found.training.items() if not isinstance(value, dict | list))
        where = f"not shown: only its {REPORT} says whether it pushed this version" if found.unread_runs else "not in this workspace"
        yield "Configuration", [(f"the run's configuration is {where}", ""), *([("its trainer's", settings)] if settings else [])]

    on = f" on the split {found.pushed.split}" if found.pushed else ""
    yield f"Evaluation{on}", list(found.figures.items()) or [("not known", "")]
    if found.baseline:
        theirs = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.baseline.metrics.items() if name != "example_count"
        )
        yield "Compared with", [(f"version {found.baseline.version}", theirs)]
    else:
        yield "Compared with", [("no pushed version; only the gate's bounds decided" if found.pushed else "not known", "")]
    if found.made_by:
        nodes = [
            (one.node, f"execution {one.number}, {one.ended}" + (f", code {one.code_version}" if one.code_version else ""))
            for one in found.made_by
        ]
        yield "Nodes, from ML Metadata", nodes


def _pushed(found: Lineage) -> Iterator[tuple[str, str]]:
    yield "folder", found.folder
    if found.pushed:
        yield "pushed", f"{found.pushed.pushed_at} by the pipeline {found.pushed.pipeline}, run {found.pushed.run or 'not stated'}"
        yield "fingerprint", found.pushed.fingerprint
    if found.run:
        yield "run", f"{found.run.name} ({found.run.state}): {found.run.folder}"
    for name, why in found.unread_runs.items():
        yield "or an earlier run" if found.run else "run", f"perhaps {name}, whose {REPORT} cannot be read ({why})"
    if found.pushed and not found.run and not found.unread_runs:
        yield "run", "its folder is not beside the model: the workspace was moved, cleared, or is another one"


def _data(found: Lineage) -> Iterator[tuple[str, str]]:
    if found.data:
        yield "fingerprint", found.data.fingerprint
        for split, classes in found.data.images.items():
            counts = ", ".join(f"{count} {name}" for name, count in classes.items())
            patients = found.run.patients.get(split) if found.run else None
            whose = f" of {how_many(patients, 'patient')}" if patients else ""
            yield split, f"{how_many(sum(classes.values()), 'image')}{whose}: {counts}"
        for source, licenses in found.data.sources.items():
            yield (
                f"source {source}",
                ", ".join(
                    f"{how_many(count, 'image')}, license {'not stated' if terms == UNKNOWN else terms}"
                    for terms, count in licenses.items()
                ),
            )
    if found.run:
        yield "records", found.run.records
        if found.run.records_fingerprint:
            yield "fingerprint of their source", found.run.records_fingerprint
