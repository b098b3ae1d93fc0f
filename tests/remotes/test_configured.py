"""Which remotes there are, what may stand where, and the words for all that."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from places import KEY, SECRET, Server, free_port
from sandbox import Project

from mlxrepo.commands.add import add


def ok(project: Project, *words: str) -> str:
    done = project.mlx(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(project: Project, code: int, *words: str) -> str:
    done = project.mlx(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_url_goes_into_mlx_yaml_and_a_folder_into_gits_settings(
    project: Project, tmp_path: Path
) -> None:
    ok(project, "remote", "add", "origin", "s3://bucket/project", "--region", "eu-central-1")
    assert "origin:\n    url: s3://bucket/project\n" in project.read("mlx.yaml")
    ok(project, "remote", "add", "slow", "sftp://me@host.example.org/data", "--timeout", "90")
    assert "    timeout: 90\n" in project.read("mlx.yaml")
    ok(project, "remote", "add", "usb", str(tmp_path / "usb"))
    ok(project, "remote", "add", "mine", "s3://b/x", "--endpoint", "http://127.0.0.1:9000")
    ok(project, "remote", "add", "link", "sftp://169.254.1.1/x")
    assert "usb" not in project.read("mlx.yaml")
    assert "127.0.0.1" not in project.read("mlx.yaml")
    assert "169.254" not in project.read("mlx.yaml")
    assert project.git("config", "mlx.remote.usb.url").strip() == str(tmp_path / "usb")
    found = json.loads(ok(project, "--json", "remote", "list"))["remotes"]
    assert [(row["name"], row["source"]) for row in found] == [
        ("link", "git config"), ("mine", "git config"), ("origin", "mlx.yaml"),
        ("slow", "mlx.yaml"), ("usb", "git config"),
    ]  # fmt: skip


def test_a_remote_that_is_removed_is_gone_from_both(project: Project, tmp_path: Path) -> None:
    ok(project, "remote", "add", "origin", "s3://of-mine/project")
    project.git("config", "mlx.remote.origin.url", str(tmp_path / "r"))
    ok(project, "remote", "default", "origin")
    ok(project, "remote", "rm", "origin")
    assert ok(project, "remote", "list") == ""
    assert "of-mine" not in project.read("mlx.yaml")
    assert project.git("config", "mlx.remote", check=False) == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "a remote needs a URL"),
        (" ", "a remote needs a URL"),
        (".", "lies in this repository"),
        ("relative/dir", "lies in this repository"),
        (".git/remote", "lies in this repository"),
        ("s3:/bucket/p", "did you mean s3://bucket/p?"),
        ("me@host:/data", "did you mean sftp://me@host/data?"),
        ("foo://bar/p", "nothing speaks foo://"),
        ("sftpp://host/p", "did you mean sftp://?"),
        ("s3://", "names neither a bucket nor a host"),
        ("s3:///p", "names neither a bucket nor a host"),
    ],
)
def test_what_can_be_no_remote_is_not_added(project: Project, url: str, said: str) -> None:
    before = project.read("mlx.yaml"), project.git("config", "--local", "--list")
    assert said in fails(project, 2, "remote", "add", "o", url)
    assert (project.read("mlx.yaml"), project.git("config", "--local", "--list")) == before


def test_adding_and_removing_leaves_mlx_yaml_as_it_was(project: Project) -> None:
    before = project.read("mlx.yaml")
    done = project.mlx("remote", "add", "origin", "s3://bucket/p")
    command = done.stderr.partition("next: ")[2].partition(",")[0]
    assert command == "git add mlx.yaml && git commit"
    ok(project, "remote", "rm", "origin")
    assert project.read("mlx.yaml") == before


def test_the_default_is_the_setting_then_the_flag_then_the_only_one(
    project: Project, tmp_path: Path
) -> None:
    assert "mlx remote add" in fails(project, 3, "push")
    ok(project, "remote", "add", "a", str(tmp_path / "a"))
    assert ok(project, "remote", "default") == "a\n"
    ok(project, "remote", "add", "b", "s3://bucket/b")
    assert "there are several remotes: a, b" in fails(project, 3, "push")
    text = project.read("mlx.yaml").replace(
        "url: s3://bucket/b", "url: s3://bucket/b\n    default: true"
    )
    project.write("mlx.yaml", text)
    assert ok(project, "remote", "default") == "b\n"
    ok(project, "remote", "default", "a")
    assert ok(project, "remote", "default") == "a\n"
    assert "did you mean" not in fails(project, 2, "push", "-r", "nothing-like-it")


def test_settings_override_by_name_and_old_commits_use_todays_remotes(
    project: Project, tmp_path: Path
) -> None:
    ok(project, "remote", "add", "origin", "s3://gone-for-good/project")
    project.write("data.txt", "one\n")
    project.do(add, ["data.txt"])
    project.commit()
    project.git("config", "mlx.remote.origin.url", str(tmp_path / "r"))
    ok(project, "push")
    clone = Project(tmp_path / "clone")
    project.git("clone", "--quiet", str(project.root), str(clone.root))
    clone.git("config", "mlx.remote.origin.url", str(tmp_path / "r"))
    ok(clone, "pull")
    assert clone.read("data.txt") == "one\n"


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hush-hush@bucket/x", "sftp://me:hush-hush@host/x",
        "https://host/x?X-Amz-Signature=hush-hush", "https://host/x?access_token=hush-hush",
        "sftp://me:hush hush@host/x", "s3://key:hush/hush@bucket/x", "https://host/x?sas=hush-hush",
        "s3://key:12/hush@bucket/x", "sftp://me:pa@ss-hush@host:22/x",
    ],
)  # fmt: skip
def test_a_secret_in_a_url_is_refused_everywhere_and_never_shown(
    project: Project, url: str
) -> None:
    said = fails(project, 2, "remote", "add", "origin", url)
    assert "holds a secret" in said
    assert "hush" not in said
    project.write("mlx.yaml", f"remotes:\n  origin: {{url: '{url}'}}\n")
    said = fails(project, 2, "push")
    assert "mlx.yaml:2:" in said
    assert "hush" not in said
    project.write("mlx.yaml", "remotes: {}\n")
    project.git("config", "mlx.remote.origin.url", url)
    assert "hush" not in fails(project, 2, "push")


@pytest.mark.parametrize(
    ("key", "value"),
    [("url", "s3://u:hunter2@b/p"), ("endpoint", "http://u:hunter2@h"), ("secret", "hunter2")],
)
def test_a_remote_with_a_fault_stands_in_nobodys_way_and_can_be_removed(
    project: Project, tmp_path: Path, key: str, value: str
) -> None:
    project.write("data.txt")
    project.do(add, ["data.txt"])
    ok(project, "remote", "add", "origin", str(tmp_path / "r"))
    project.git("config", "mlx.remote.sec.url", "s3://b/p")
    project.git("config", f"mlx.remote.sec.{key}", value)
    ok(project, "push", "-r", "origin")
    said = fails(project, 2, "push", "-r", "sec")
    assert f"mlx.remote.sec.{key}" in said
    assert "mlx remote rm sec" in said or "--unset mlx.remote.sec.secret" in said
    listed = project.mlx("remote", "list")
    assert (listed.returncode, "mlx.remote.sec" in listed.stderr) == (0, True)
    removed = ok(project, "remote", "rm", "sec")
    assert "hunter2" not in said + listed.stdout + listed.stderr + removed
    assert project.git("config", "--get-regexp", "sec", check=False) == ""
    ok(project, "push")


def test_a_path_in_mlx_yaml_stands_in_nobodys_way_and_can_be_removed(
    project: Project, tmp_path: Path
) -> None:
    ok(project, "remote", "add", "origin", str(tmp_path / "r"))
    project.write("mlx.yaml", "remotes:\n  disk:\n    url: /mnt/data\n")
    ok(project, "push", "-r", "origin")
    assert "mlx.yaml:2:" in fails(project, 2, "push", "-r", "disk")
    ok(project, "remote", "rm", "disk")
    assert "/mnt" not in project.read("mlx.yaml")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://tester@host.example.org/p", "sftp://tester@host.example.org/p"),
        ("abfs://container@account.example.org/p", "abfs://container@account.example.org/p"),
        ("sftp://me@host.example.org:2222/a@v1", "sftp://me@host.example.org:2222/a@v1"),
        ("s3://bucket/p@v1:x", "s3://bucket/p@v1:x"),
        ("https://a-token@host.example.org/p", "https://***@host.example.org/p"),
    ],
)
def test_the_name_of_a_user_or_a_container_is_no_secret(
    project: Project, url: str, shown: str
) -> None:
    project.git("config", "mlx.remote.origin.url", url)
    (found,) = json.loads(ok(project, "--json", "remote", "list"))["remotes"]
    assert found["url"] == shown


def test_what_only_this_machine_reaches_is_refused_in_mlx_yaml(project: Project) -> None:
    for keys in (
        "url: /mnt/data", "url: ../data", "url: sftp://localhost/x", "url: file:///etc",
        "url: s3://b/x, endpoint: 'http://[::1]:9000'",
    ):  # fmt: skip
        project.write("mlx.yaml", f"remotes:\n  origin: {{{keys}}}\n")
        said = fails(project, 2, "push")
        assert "is only there for this machine" in said, keys
        assert "mlx.yaml:2:" in said


def test_options_are_those_of_a_list(project: Project) -> None:
    project.write("mlx.yaml", "remotes:\n  origin: {url: 's3://b/x', secret: hush}\n")
    assert 'unknown key "secret"' in fails(project, 2, "push")
    project.write("mlx.yaml", "remotes: {}\n")
    project.git("config", "mlx.remote.origin.url", "s3://b/x")
    project.git("config", "mlx.remote.origin.secretkey", "hush-hush")
    said = fails(project, 2, "push")
    assert "secrets belong into the environment" in said
    assert "hush" not in said


@pytest.fixture
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's settings for all repositories, and nothing in the environment."""
    file = tmp_path / "gitconfig"
    file.write_text("[user]\n\tname = T\n\temail = t@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    return file


@pytest.mark.usefixtures("own_settings")
def test_the_users_own_settings_may_hold_secrets_and_a_repositorys_not(
    project: Project, rclone: Server
) -> None:
    project.write("data.txt")
    project.do(add, ["data.txt"])
    rclone.spot().configure(project)
    assert "credentials" in fails(project, 5, "push")
    project.git("config", "--global", "mlx.remote.origin.access-key-id", KEY)
    project.git("config", "--global", "mlx.remote.origin.secret-access-key", SECRET)
    ok(project, "push")
    shown = project.mlx("doctor").stdout + ok(project, "--json", "remote", "list")
    assert SECRET not in shown
    assert "holds a secret" not in shown
    project.git("config", "--global", "mlx.remote.another.password", SECRET)
    assert "another" not in ok(project, "remote", "list")  # here is no remote of that name
    project.git("config", "mlx.remote.origin.secret-access-key", SECRET)
    said = fails(project, 2, "push")
    assert "git config --global mlx.remote.origin.secret-access-key VALUE" in said
    assert SECRET not in said


@pytest.mark.usefixtures("own_settings")
def test_a_password_goes_only_to_a_host_that_gits_settings_name(
    project: Project, sftp_server: str
) -> None:
    project.write("data.txt")
    project.do(add, ["data.txt"])
    project.write("mlx.yaml", "remotes:\n  nas:\n    url: sftp://me@nas.example.org/p\n")
    project.git("config", "--global", "mlx.remote.nas.password", SECRET)
    said = fails(project, 2, "push")
    assert "git config mlx.remote.nas.url URL" in said
    assert SECRET not in said
    project.git("config", "mlx.remote.nas.url", f"{sftp_server}/by-password")
    keys = Path(os.environ["HOME"], ".ssh", "id_ed25519")
    keys.rename(keys.with_name("hidden"))
    try:
        ok(project, "push")
    finally:
        keys.with_name("hidden").rename(keys)


def test_test_says_what_works(project: Project, rclone: Server, tmp_path: Path) -> None:
    rclone.spot().configure(project)
    found = json.loads(ok(project, "--json", "remote", "test"))
    assert found["works"] is True
    assert [step["what"] for step in found["steps"] if not step["works"]] == []
    assert SECRET not in json.dumps(found)
    done = project.mlx("remote", "test", env={"AWS_SECRET_ACCESS_KEY": "wrong-secret-of-mine"})
    assert done.returncode == 5
    assert "FAILED  list" in done.stdout
    assert "wrong-secret-of-mine" not in done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr


def test_an_unreachable_host_is_the_environments_fault(project: Project) -> None:
    project.write("data.txt", "one\n")
    project.do(add, ["data.txt"])
    project.git("config", "mlx.remote.origin.url", "s3://bucket/x")
    project.git("config", "mlx.remote.origin.endpoint", f"http://127.0.0.1:{free_port()}")
    said = fails(project, 5, "push")
    assert "cannot be reached" in said
    assert project.git("config", "mlx.remote.origin.endpoint").strip() in said


def test_the_story_on_the_screen(project: Project, tmp_path: Path) -> None:
    project.fill("data", 30)
    project.do(add, ["data"])
    project.commit()
    ok(project, "remote", "add", "origin", str(tmp_path / "r"))
    assert ok(project, "push", "-n").startswith("would send 31 objects (")
    assert ok(project, "push").startswith("sent 31 objects (")
    assert ok(project, "push") == f"nothing to send: everything is on origin ({tmp_path}/r)\n"
    clone = Project(tmp_path / "clone")
    project.git("clone", "--quiet", str(project.root), str(clone.root))
    ok(clone, "remote", "add", "origin", str(tmp_path / "r"))
    assert ok(clone, "pull", "-n").startswith("would fetch 30 objects (")
    assert ok(clone, "pull", "data/0001.txt").endswith("1 file written\n")
    assert ok(clone, "pull").endswith("29 files written\n")
    document = json.loads(ok(clone, "--json", "pull"))
    assert document["remotes"][0]["fetched"]["objects"] == 0
    assert document["workspace"] == {"files": 0, "removed": [], "missing": [], "away": []}
    document = json.loads(ok(clone, "--json", "push"))
    assert document["remotes"][0]["sent"] == {"objects": 0, "bytes": 0, "stored": 0}


def test_words_from_git_and_dvc_have_an_answer(project: Project) -> None:
    assert "mlx remote rm" in fails(project, 2, "remote", "remove", "x")
    assert "git config mlx.remote." in fails(project, 2, "remote", "modify", "x", "url", "y")
    assert "mlx fetch --rev" in fails(project, 2, "pull", "--rev", "main")


def test_test_tells_how_fast_and_what_next(project: Project, tmp_path: Path) -> None:
    ok(project, "remote", "add", "origin", str(tmp_path / "r"))
    rows = {
        " ".join(line.split()[1:-2]): line for line in ok(project, "remote", "test").split("\n")
    }
    assert rows["write"].endswith("iB/s"), rows
    assert rows["read"].endswith("iB/s"), rows
    assert rows["size"].endswith("ms"), rows
    (tmp_path / "r").mkdir(exist_ok=True)
    (tmp_path / "r/mlx.json").write_text('{"format": 99, "oid": "blake3"}')
    assert "FAILED  be of a format" in project.mlx("remote", "test").stdout
    (tmp_path / "file").write_text("no folder\n")
    project.git("config", "mlx.remote.origin.url", str(tmp_path / "file"))
    assert "mlx remote test origin again" in fails(project, 5, "remote", "test")


def test_what_was_never_pushed_has_a_next_step(project: Project, tmp_path: Path) -> None:
    project.write("a.txt")
    project.do(add, ["a.txt"])
    project.commit()
    clone = Project(tmp_path / "clone")
    project.git("clone", "--quiet", str(project.root), str(clone.root))
    ok(clone, "remote", "add", "origin", str(tmp_path / "r"))
    for verb in ("fetch", "pull"):
        assert "mlx push in a clone that has it" in fails(clone, 1, verb)


def test_no_other_command_asks_the_network(project: Project) -> None:
    project.write("data.txt", "one\n")
    project.git("config", "mlx.remote.origin.url", "s3://bucket/x")
    project.git("config", "mlx.remote.origin.endpoint", f"http://127.0.0.1:{free_port()}")
    for words in (("add", "data.txt"), ("status",), ("checkout",), ("repro",), ("remote", "list")):
        ok(project, *words)
