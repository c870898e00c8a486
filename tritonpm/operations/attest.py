"""`tritonpm push --attest`: what proves a package, seen once more on the server that serves it, and signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tritonpm.convert.agreement import BOUNDS
from tritonpm.core.errors import PackageError
from tritonpm.core.releases import of_server
from tritonpm.core.types import Agreement, Power
from tritonpm.operations.artefacts import made, works_of
from tritonpm.operations.batch_axes import batch_axes
from tritonpm.operations.list import unproved
from tritonpm.operations.probe import ATOL, RTOL, probe
from tritonpm.operations.sample_inputs import samples_of
from tritonpm.operations.server import connect, require_live
from tritonpm.registry import attestation
from tritonpm.registry.attestation import ProofRecord, ProvedStage
from tritonpm.registry.signing import Signer
from tritonpm.triton.served_revision import serves

if TYPE_CHECKING:
    from tritonpm.catalogue import Record
    from tritonpm.core.types import Package
    from tritonpm.operations.context import Context


def attest(context: Context, package: Package, archive: Path, signer: Signer) -> Path:
    """Attest beside the .zip of a package what the server answers for it now.

    Raises PackageError where it is not loaded as it is wanted, or no longer what the .zip was made of; ServerError,
    WrongAnswerError, UsageError.
    """
    record = proof_record(context, package.name)
    if record.content != package.digest:
        raise PackageError("was changed while it was pushed", where=package.name, do="push it again")
    return attestation.attest(archive, record, signer)


def proof_record(context: Context, name: str) -> ProofRecord:
    """What proves the revision that serves: an inference now, and how its models were proved. Raises as `attest`."""
    record, proved = context.catalogue.get(name), context.catalogue.proved(name)
    load = f"`tritonpm load {name}`"
    if proved is None:
        raise PackageError("was never loaded, so nothing is proved that could be attested", where=name, do=load)
    if unproved(context.catalogue, name, record):
        raise PackageError("was changed since it was proved", where=name, do=load)
    with connect(context) as client:
        require_live(client)
        if not (client.ready(name) and serves(client, proved.revision)):
            raise PackageError(f"is not served in revision {proved.number}, which was proved", where=name, do=load)
        said, version = probe(context, client, record), client.server_version()
    stages = (*_stages(context, record), *_whole(context, record))
    agreements = [stage.agreement for stage in stages]
    least = None if None in agreements else min((one for one in agreements if one is not None), default=None)
    package = record.package
    return ProofRecord(
        name, package.version, package.digest, proved.revision.digest, of_server(version), version, said, least, stages
    )


def measured(agreement: Agreement) -> float | None:
    """The least of what was measured of an agreement, 0 to 1; None where that is no proof."""
    if agreement.state != "verified":
        return None
    shares = [share for share in (agreement.top1, agreement.boxes) if share is not None]
    return min([*shares, *(output.cosine for output in agreement.outputs)], default=None)


def _stages(context: Context, record: Record) -> list[ProvedStage]:
    optimised, axes = made(context, record), batch_axes(context, record.package)
    compared = 1.0 if any(sample.outputs for sample in samples_of(record)) else None
    stages = []
    for stage in record.package.stages:
        artefact = optimised.get(stage.name)
        if artefact is None:  # the model itself, which the probe compared with what the samples say
            power = axes[stage.name].power if stage.name in axes else Power()
            stages.append(_stage(stage.name, "none", "FP32", Agreement("verified", power=power), compared, _EXACT))
            continue
        bounds = {**BOUNDS[artefact.precision], **record.settings.for_stage(stage.name).tolerances}
        agreement = artefact.agreement
        stages.append(
            _stage(stage.name, artefact.optimizer, artefact.precision, agreement, measured(agreement), bounds)
        )
    return stages


_EXACT = {"rtol": RTOL, "atol": ATOL}


def _whole(context: Context, record: Record) -> list[ProvedStage]:
    """The cascade from end to end, where it was optimised."""
    _, proof = works_of(context, record)
    return [_stage("", "", "", proof.agreement, measured(proof.agreement), {})] if proof else []


def _stage(
    name: str, optimizer: str, precision: str, agreement: Agreement, least: float | None, bounds: dict[str, float]
) -> ProvedStage:
    power = agreement.power
    return ProvedStage(
        name, optimizer, precision, agreement.state, least, bounds, power.noticed, power.tried, power.inputs
    )
