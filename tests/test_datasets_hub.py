"""The hub source against a server on loopback that answers as the hub does, through the hub's own client."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from bench.datasets.load import DatasetRequest, load
from bench.datasets.rows import CONVERTED, DATASETS
from bench.errors import BenchError

COMMIT = "a" * 40
CONVERTED_COMMIT = "c" * 40


def point(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """What HF_ENDPOINT does, which the client reads once, at import."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


class Hub:
    """Repositories: name → revision → files; a revision's commit is what `commits` says."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.commits = {"main": COMMIT, CONVERTED: CONVERTED_COMMIT}
        self.downloads: list[str] = []

    def add(self, repo: str, files: dict[str, bytes], revision: str = "main") -> None:
        self.repos.setdefault(repo, {})[revision] = files

    def find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | str:
        """Commit and files, or the hub's error code."""
        if repo not in self.repos:
            return "RepoNotFound"
        for name, files in self.repos[repo].items():
            if revision in (name, self.commits[name]):
                return self.commits[name], files
        return "RevisionNotFound"


class Handler(BaseHTTPRequestHandler):
    """Answers of the hub about the repositories of `hub`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "datasets"]:
            self.describe(*parts[2:6])
        elif parts[0] == "datasets":
            self.send_file(parts[1], parts[2], parts[4], "/".join(parts[5:]))
        else:
            self.answer(b"{}", status=404)

    def describe(self, owner: str, name: str, verb: str, revision: str) -> None:
        found = self.hub.find(f"{owner}/{name}", revision)
        if isinstance(found, str):
            return self.answer(b"{}", {"X-Error-Code": found}, status=404)
        commit, files = found
        facts: object = {"id": f"{owner}/{name}", "sha": commit, "siblings": [{"rfilename": path} for path in files]}
        if verb == "tree":
            facts = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files.items()
            ]
        return self.answer(json.dumps(facts).encode())

    def send_file(self, owner: str, name: str, revision: str, path: str) -> None:
        found = self.hub.find(f"{owner}/{name}", revision)
        if isinstance(found, str) or path not in found[1]:
            return self.answer(b"{}", {"X-Error-Code": "EntryNotFound"}, status=404)
        commit, files = found
        if self.command == "GET":
            self.hub.downloads.append(path)
        etag = hashlib.sha1(files[path]).hexdigest()
        return self.answer(files[path], {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    def answer(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("BENCH_DATA_HOME", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    point(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def parquet(
    texts: list[str], labels: list[object], text: str = "text", label: str = "label", names: object = None
) -> bytes:
    """A file as the hub's library itself writes it."""
    import io

    import datasets

    features = None
    if names is not None:
        features = datasets.Features({text: datasets.Value("string"), label: datasets.ClassLabel(names=names)})
    buffer = io.BytesIO()
    datasets.Dataset.from_dict({text: texts, label: labels}, features=features).to_parquet(buffer)
    return buffer.getvalue()


def test_named_data_set_comes_with_its_columns_labels_and_commit(hub: Hub) -> None:
    train = parquet(["good ", "bad ", "fine "], [1, 0, 1], "sentence", names=["neg", "pos"])
    test = parquet(["nice ", "poor "], [1, 0], "sentence", names=["neg", "pos"])
    hidden = parquet(["?"], [-1], "sentence", names=["neg", "pos"])
    hub.add(
        "nyu-mll/glue",
        {
            "README.md": b"card",
            "cola/train-00000-of-00001.parquet": b"never read",
            "sst2/train-00000-of-00001.parquet": train,
            "sst2/validation-00000-of-00001.parquet": test,
            "sst2/test-00000-of-00001.parquet": hidden,
        },
    )
    dataset = load(DatasetRequest(name="sst2"))
    assert dataset.train.texts == ("good ", "bad ", "fine ")
    assert dataset.labels == ("negative", "positive")
    assert dataset.train.labels.tolist() == [1, 0, 1]
    assert dataset.test.texts == ("nice ", "poor ")
    assert dataset.source.revision == COMMIT
    assert dataset.source.files["sst2/train-00000-of-00001.parquet"] == hashlib.sha256(train).hexdigest()
    assert any("results do not compare" in warning for warning in dataset.warnings)
    assert not any("cola" in path or "/test" in path for path in hub.downloads), "only what is wanted is downloaded"


def test_cache_answers_at_the_recorded_commit_without_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    hub.add("dxgp/r8", {"train.csv": b"text,label\na,x\nb,y\n", "test.csv": b"text,label\nc,x\n", "README.md": b""})
    request = DatasetRequest(name="dxgp/r8")
    online = load(request)
    point(monkeypatch, "http://127.0.0.1:9")
    unreachable = load(request)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = load(request)
    assert online.fingerprint == unreachable.fingerprint == offline.fingerprint
    assert online.source == unreachable.source == offline.source
    assert capfd.readouterr() == ("", ""), "the client's bars and warnings stay silent"


def test_without_download_only_the_cache_answers(hub: Hub) -> None:
    hub.add("dxgp/r8", {"train.csv": b"text,label\na,x\nb,y\n", "test.csv": b"text,label\nc,x\n"})
    request = DatasetRequest(name="dxgp/r8")
    with pytest.raises(BenchError, match="hub: not asked in a dry run, and dxgp/r8 is not in its cache"):
        load(request, download=False)
    assert hub.downloads == []
    online = load(request)
    hub.repos.clear()
    assert load(request, download=False).source == online.source


def test_half_of_a_download_in_the_cache_is_not_the_data_set(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"
    test = "data/test-00000-of-00001.parquet"
    files = {one: parquet(["a", "b"], [0, 1]), two: parquet(["c", "d"], [0, 1]), test: parquet(["e"], [0])}
    hub.add("owner/set", files)
    dataset = load(DatasetRequest(name="owner/set"))
    assert dataset.train.texts == ("a", "b", "c", "d")
    from huggingface_hub import constants

    for path in Path(constants.HF_HUB_CACHE).rglob(Path(two).name):
        path.unlink()
    point(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(BenchError, match="incomplete in the cache"):
        load(DatasetRequest(name="owner/set"))


def test_legalbench_joins_both_splits_and_makes_the_same_200_and_50_from_any_order(hub: Hub, tmp_path: Path) -> None:
    texts = [f"The appeal number {number} is decided.\n" for number in range(250)]
    labels = ["dismissed"] * 133 + ["allowed"] * 103 + ["other"] * 14
    few = [0, 1, 133, 134, 236, 237]
    many = [row for row in range(250) if row not in few]
    row = DATASETS["legalbench"]
    hub.add(
        row.repo,
        {
            "data/train-00000-of-00001.parquet": parquet([texts[i] for i in few], [labels[i] for i in few]),
            "data/test-00000-of-00001.parquet": parquet([texts[i] for i in many], [labels[i] for i in many]),
        },
    )
    dataset = load(DatasetRequest(name="legalbench"))
    assert (len(dataset.train), len(dataset.test)) == (200, 50)
    assert dataset.warnings == ()
    counts = [sum(dataset.test.labels == index) for index in range(3)]
    assert dict(zip(dataset.labels, counts, strict=True)) == {"allowed": 20, "dismissed": 27, "other": 3}
    home = tmp_path / "home" / "legalbench"
    home.mkdir(parents=True)
    for split, numbers in (("train", range(249, 124, -1)), ("test", range(125))):
        lines = [json.dumps({"text": texts[i].strip(), "label": labels[i], "id": str(i)}) for i in numbers]
        (home / f"{split}.jsonl").write_text("\n".join(lines))
    other = load(DatasetRequest(name="legalbench", data_home=str(home.parent)))
    assert other.source.kind == "home"
    assert other.fingerprint == dataset.fingerprint


def test_repository_with_a_loading_script_is_read_from_the_conversion_alone(hub: Hub) -> None:
    hub.add("owner/scripted", {"scripted.py": b"raise SystemExit('ran')", "data.tar.gz": b""})
    files = {
        "one/train/0000.parquet": parquet(["a", "b"], [0, 1], names=["no", "yes"]),
        "one/train/0001.parquet": parquet(["c"], [1], names=["no", "yes"]),
        "one/test/0000.parquet": parquet(["d"], [0], names=["no", "yes"]),
        "two/train/0000.parquet": b"",
    }
    hub.add("owner/scripted", files, CONVERTED)
    dataset = load(DatasetRequest(name="owner/scripted:one"))
    assert dataset.train.texts == ("a", "b", "c")
    assert dataset.train.ids == ("train/0", "train/1", "train/2")
    assert dataset.labels == ("no", "yes")
    assert dataset.source.revision == CONVERTED_COMMIT
    assert not any(path.endswith(".py") for path in hub.downloads)
    with pytest.raises(BenchError, match=r"several configurations.*owner/scripted:one"):
        load(DatasetRequest(name="owner/scripted"))
    with pytest.raises(BenchError, match=r"no configuration 'ones'.*did you mean 'one'"):
        load(DatasetRequest(name="owner/scripted:ones"))


def test_legalbench_task_asks_for_the_conversion(hub: Hub) -> None:
    texts = [f"text {number}" for number in range(20)]
    hub.add("nguha/legalbench", {"legalbench.py": b""})
    files = {
        "hearsay/train/0000.parquet": parquet(texts[:5], ["Yes", "No"] * 2 + ["Yes"], label="answer"),
        "hearsay/test/0000.parquet": parquet(texts[5:], ["Yes", "No", "No"] * 5, label="answer"),
    }
    hub.add("nguha/legalbench", files, CONVERTED)
    dataset = load(DatasetRequest(name="legalbench/hearsay"))
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    assert dataset.source.revision == CONVERTED_COMMIT
    with pytest.raises(BenchError, match="did you mean 'hearsay'"):
        load(DatasetRequest(name="legalbench/hearsays"))


def test_validation_stands_for_a_missing_test_split_and_it_is_said(hub: Hub) -> None:
    hub.add("owner/set", {"train.jsonl": b'{"text":"a","label":1}\n{"text":"b","label":0}',
                          "validation.jsonl": b'{"text":"c","label":1}'})  # fmt: skip
    dataset = load(DatasetRequest(name="owner/set"))
    assert dataset.test.texts == ("c",)
    assert any("validation split is the test side" in warning for warning in dataset.warnings)


def test_revision_is_the_hubs_and_passes_by_other_sources(hub: Hub, tmp_path: Path) -> None:
    hub.add("dxgp/r8", {"train.csv": b"text,label\na,x\nb,y\n", "test.csv": b"text,label\nc,x\n"})
    dataset = load(DatasetRequest(name="r8", revision=COMMIT))
    assert dataset.source.kind == "hub"
    with pytest.raises(BenchError, match=r"dxgp/r8 at nothing is refused"):
        load(DatasetRequest(name="r8", revision="nothing"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.csv": b"body,label\na,x\n", "test.csv": b"body,label\na,x\n"}, r"no column 'text' .*`text_column`"),
        ({"train.parquet": b"PAR1 torn"}, "no readable Parquet"),
        ({"readme.txt": b""}, "Loading scripts are never run"),
        ({"train_small.csv": b"text,label\na,x\n"}, "no table .* of a split 'train'"),
        ({"train.csv": b"text,label\na,x\nb,x\n"}, "two classes are needed"),
    ],
)
def test_what_the_hub_holds_may_be_unusable(hub: Hub, files: dict[str, bytes], message: str) -> None:
    hub.add("owner/set", files)
    with pytest.raises(BenchError, match=message):
        load(DatasetRequest(name="owner/set"))


def test_one_split_in_several_formats_is_read_once(hub: Hub) -> None:
    rows = parquet(["a", "b"], ["x", "y"])
    hub.add(
        "owner/set", {"train.csv": b"torn", "train.parquet": rows, "test.parquet": rows, "train_small.parquet": b""}
    )
    assert load(DatasetRequest(name="owner/set")).train.texts == ("a", "b")


def test_hidden_labels_are_refused(hub: Hub) -> None:
    data = parquet(["a", "b"], [-1, -1], names=["no", "yes"])
    hub.add("owner/set", {"train.parquet": data, "test.parquet": data})
    with pytest.raises(BenchError, match=r"row 1: the label -1.*hidden"):
        load(DatasetRequest(name="owner/set"))


def test_unknown_and_unreachable_are_told_apart(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BenchError, match=r"owner/none at main is refused.*RepositoryNotFound"):
        load(DatasetRequest(name="owner/none"))
    point(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(BenchError, match="hub: unreachable, and mteb/"):
        load(DatasetRequest(name="legalbench"))
    assert capfd.readouterr() == ("", "")
