"""GPUs: which are the caller's, and that no two stages on this machine have the same one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_project import Pipeline, is_running, kill, until
from sandbox import Project

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.pipeline import devices
from mlxrepo.pipeline.devices import LEASED, VISIBLE, Devices, visible


@pytest.fixture
def two() -> Iterator[str]:
    """Return two devices that no machine has, as CUDA_VISIBLE_DEVICES names them."""
    names = [f"GPU-{uuid.uuid4()}" for _ in range(2)]
    yield ",".join(names)
    for outer in ("", f"{','.join(names)};"):  # as the machine's, and inside a stage that has both
        devices = Devices({VISIBLE: ",".join(names), LEASED: outer})
        for device in devices.all:
            Path(devices._path(device)).unlink(missing_ok=True)


def names(text: str | None) -> list[str]:
    return [device.name for device in visible({} if text is None else {VISIBLE: text})]


def test_the_callers_devices_are_those_that_cuda_would_see() -> None:
    assert names("0,1") == ["0", "1"]
    assert names("1, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6") == [
        "1",
        "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    ]
    assert names("0,0") == ["0"]
    assert names("") == names("-1") == names("NoDevFiles") == []
    assert names("2,-1,3") == ["2"]


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the driver list two devices, in a folder like the one in /proc."""
    for number in range(2):
        place = folder / f"0000:0{number}:00.0"
        place.mkdir(parents=True)
        (place / "information").write_text(f"Model: X\nGPU UUID: \t GPU-aaaa-{number}\n")
    monkeypatch.setattr(devices, "_DRIVER", f"{folder}/*/information")


def test_without_the_variable_they_are_what_the_driver_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(tmp_path, monkeypatch)
    assert names(None) == ["GPU-aaaa-0", "GPU-aaaa-1"]
    # A number and the name it stands for are one device.
    assert [device.identity for device in visible({VISIBLE: "1,GPU-aaaa-1"})] == ["GPU-aaaa-1"]


def test_or_what_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_DRIVER", str(tmp_path / "none"))
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: GPU-bbbb-0)'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert names(None) == ["GPU-bbbb-0"]
    smi.write_text("#!/bin/sh\nexit 9\n")
    assert names(None) == []


def test_a_lease_is_for_one_and_ends_when_it_is_given_back(two: str) -> None:
    mine, theirs = Devices({VISIBLE: two}), Devices({VISIBLE: two})
    first = mine.lease(1, "one")
    second = theirs.lease(1, "two")
    assert first is not None
    assert second is not None
    assert {first.environment[VISIBLE], second.environment[VISIBLE]} == set(two.split(","))
    assert mine.lease(1, "three") is None
    assert mine.holders() == [
        f"{first.devices[0].name} by one",
        f"{second.devices[0].name} by two",
    ]
    first.release()
    assert mine.lease(2, "all") is None  # and takes no half of it
    second.release()
    both = theirs.lease(2, "all")
    assert both is not None
    both.release()


def test_the_file_of_a_lease_is_for_all_users(two: str) -> None:
    before = os.umask(0o077)
    try:
        lease = Devices({VISIBLE: two}).lease(1, "one")
    finally:
        os.umask(before)
    assert lease is not None
    path = Devices({VISIBLE: two})._path(lease.devices[0])
    assert os.stat(path).st_mode & 0o777 == 0o666
    lease.release()


@pytest.mark.root
def test_a_file_of_somebody_elses_in_a_sticky_folder_can_be_leased_by(two: str) -> None:
    device = Devices({VISIBLE: two}).all[0]
    path = Devices({VISIBLE: two})._path(device)
    Path(path).touch()
    os.chmod(path, 0o666)
    os.chown(path, 65534, 65534)
    lease = Devices({VISIBLE: two}).lease(2, "root")
    assert lease is not None
    lease.release()


def test_what_is_no_file_is_refused(two: str) -> None:
    path = Devices({VISIBLE: two})._path(Devices({VISIBLE: two}).all[0])
    for make in (lambda: os.symlink("/etc/passwd", path), lambda: os.mkfifo(path)):
        make()
        with pytest.raises(EnvironmentFailed, match="cannot be used"):
            Devices({VISIBLE: two}).lease(1, "one")
        os.unlink(path)


def test_a_file_that_a_cleaner_removed_meanwhile_is_no_lease(
    two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = devices._open

    def swept(path: str) -> int:
        fd = opened(path)
        os.unlink(path)
        return fd

    monkeypatch.setattr(devices, "_open", swept)
    assert Devices({VISIBLE: two}).lease(1, "one") is None


# stages

GPU = """
stages:
  train:
    cmd: >-
      echo $CUDA_VISIBLE_DEVICES > has; touch begun;
      for i in $(seq 1500); do if [ -e go ]; then break; fi; sleep 0.02; done
    resources: {{gpu: {count}}}
"""


def project(folder: Path, count: int) -> Pipeline:
    pipe = Pipeline(Project.create(folder))
    pipe.write("mlx.yaml", GPU.format(count=count))
    return pipe


def test_two_mlx_never_have_the_same_device_and_the_third_waits_and_says_for_whom(
    two: str, tmp_path: Path
) -> None:
    pipes = [project(tmp_path / name, 1) for name in "abc"]
    running = []
    for pipe in pipes[:2]:
        running.append(pipe.start("repro", CUDA_VISIBLE_DEVICES=two))
        until(pipe.path("begun").exists, "the stage runs")
    assert {pipe.read("has").strip() for pipe in pipes[:2]} == set(two.split(","))
    third = pipes[2].start("repro", CUDA_VISIBLE_DEVICES=two)
    assert third.stderr is not None
    said = third.stderr.readline()
    assert "train: waits for a GPU: " in said
    assert f"(process {running[0].pid})" in said
    assert f"(process {running[1].pid})" in said
    assert not pipes[2].path("begun").exists()
    pipes[1].write("go")
    until(pipes[2].path("begun").exists, "the third has its turn")
    assert pipes[2].read("has") == pipes[1].read("has")
    for pipe, mlx in zip(pipes, [*running, third], strict=True):
        pipe.write("go")
        mlx.communicate(timeout=30)
        assert mlx.returncode == 0


def test_a_stage_that_outlives_its_mlx_keeps_its_device(two: str, tmp_path: Path) -> None:
    one, other = project(tmp_path / "one", 2), project(tmp_path / "other", 2)
    mlx = one.start("repro", CUDA_VISIBLE_DEVICES=two)
    until(one.path("begun").exists, "the stage runs")
    kill(mlx.pid)
    mlx.communicate()
    waiting = other.start("repro", CUDA_VISIBLE_DEVICES=two)
    assert waiting.stderr is not None
    assert "waits for a GPU" in waiting.stderr.readline()
    one.write("go")  # the command ends
    other.write("go")
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0


def test_a_daemon_that_a_command_left_does_not_keep_the_device(
    two: str, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, two)
    pipe.one("setsid sh -c 'echo $$ > pid; exec sleep 300' & sleep 0.3", resources={"gpu": 2})
    assert pipe.outcomes() == {"only": "ran"}
    daemon = int(pipe.read("pid"))
    assert is_running(daemon)
    lease = Devices({VISIBLE: two}).lease(2, "next")
    kill(daemon)
    assert lease is not None
    lease.release()


def test_stages_of_one_run_share_the_devices_out_and_others_go_on_meanwhile(
    two: str, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, two)
    stages = "".join(
        f"  s{n}: {{cmd: 'echo $CUDA_VISIBLE_DEVICES; sleep 0.2', resources: {{gpu: {gpus}}}}}\n"
        for n, gpus in enumerate((1, 1, 2, 0))
    )
    pipe.write("mlx.yaml", "stages:\n" + stages)
    done = pipe.repro(jobs=4)
    span = {r.stage: (r.begun, r.ended) for r in done.stages}
    said = {event.stage: event.text for event in pipe.events if event.kind == "line"}
    assert {said["s0"], said["s1"]} == set(two.split(","))
    assert said["s2"] == said["s3"] == two
    assert span["s2"][0] >= max(span["s0"][1], span["s1"][1])
    assert span["s3"][0] < span["s2"][0]


def test_an_mlx_inside_a_stage_shares_out_what_the_stage_has(
    two: str, pipe: Pipeline, tmp_path: Path
) -> None:
    inner = Pipeline(Project.create(tmp_path / "inner"))
    inner.one("echo $CUDA_VISIBLE_DEVICES > has", resources={"gpu": 1})
    pipe.one(f"python -m mlxrepo -C {inner.root} repro", resources={"gpu": 2})
    import sys

    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = pipe.project.mlx("repro", env={VISIBLE: two, "PATH": path})
    assert done.returncode == 0, done.stderr
    assert inner.read("has").strip() in two.split(",")
    assert LEASED not in os.environ


def test_more_devices_than_there_are_is_an_error_with_its_place(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.one("touch ran", resources={"gpu": 1})
    for text, says in (("", "there is none here"), ("0", "")):
        monkeypatch.setenv(VISIBLE, text)
        if says:
            error = pipe.error()
            assert isinstance(error, InputError)
            assert f"asks for 1 GPU, and {says}" in error.message
            assert str(error.where) == "mlx.yaml:2:3"
    pipe.one("touch ran", resources={"gpu": 2})
    assert "asks for 2 GPUs, and there is one here" in pipe.error().message
    assert not pipe.path("ran").exists()
