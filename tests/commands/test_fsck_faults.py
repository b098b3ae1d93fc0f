"""Single faults in a store: each is found, kept from the workspace, and mended if it can be."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from faults import Fault, Patient, hurt

from mlxrepo.commands.cat import cat
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fsck import LOST, fsck
from mlxrepo.errors import MlxError
from mlxrepo.store.objects import Store


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return Patient(tmp_path_factory.mktemp("patient"))


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_faults_are_found_kept_out_and_mended(patient: Patient, first: int) -> None:
    for seed in range(first, first + 20):
        go_through(patient, seed)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_thousand_faults_are_found_kept_out_and_mended(patient: Patient) -> None:
    for seed in range(10_000, 11_000):
        go_through(patient, seed)


def go_through(patient: Patient, seed: int) -> None:
    patient.heal()
    fault = hurt(patient.state, random.Random(seed))
    note = f"seed {seed}: {fault}"
    found = patient.project.do(fsck, data=True)
    assert found.findings, note
    assert not found.sound, note
    no_wrong_byte_comes_out(patient, note)
    what_can_be_had_is_mended(patient, fault, note)


def no_wrong_byte_comes_out(patient: Patient, note: str) -> None:
    """Try to get everything out of the store; the workspace is as it was afterwards."""
    aside = patient.take_data_away()
    for rev, good in (("HEAD~1", patient.old), ("HEAD", patient.files)):
        patient.empty_workspace()
        with suppress(MlxError):
            patient.project.do(checkout, rev=rev)
        for path, data in patient.data().items():
            assert data == good[path], f"{note}: {path}"
        name = random.Random(note + rev).choice(sorted(good))
        assert printed(patient, name, rev) in (good[name], b""), f"{note}: {name}"
    patient.bring_data_back(aside)


def printed(patient: Patient, path: str, rev: str) -> bytes | None:
    with open(patient.project.root.parent / "printed", "w+b") as stream:
        with suppress(MlxError):
            patient.project.do(cat, path, stream.fileno(), rev=rev)
        stream.seek(0)
        return stream.read()


def what_can_be_had_is_mended(patient: Patient, fault: Fault, note: str) -> None:
    mended = patient.project.do(fsck, data=True, repair=True)
    store = Store(str(patient.state))
    have = {key for key in patient.objects if is_here(store, key)}
    assert patient.now <= have, f"{note}: the workspace has what is lost"
    lost = {(f.kind, f.oid) for f in mended.findings if f.outcome == LOST}
    gone = patient.objects.keys() - have
    assert lost <= gone <= patient.with_all_below(lost), note
    assert len(lost) <= most_that_may_be_lost(fault), f"{note}: {lost}"
    assert mended.sound == (not lost), note
    again = patient.project.do(fsck, data=True)
    assert {(f.kind, f.oid) for f in again.findings} == lost, note
    assert patient.data() == patient.files, note


def is_here(store: Store, key: tuple[str, str]) -> bool:
    try:
        return bool(store.read(*key)) or True
    except MlxError:
        return False


def most_that_may_be_lost(fault: Fault) -> int:
    """Return how many objects a fault may destroy of which the store had the only copy."""
    if fault.kind in ("swap", "extend"):
        return 0
    if fault.kind == "flip" or not fault.file.startswith("packs/"):
        return 1
    return 1000
