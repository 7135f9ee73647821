"""Labels for texts by a package of `bench export --format onnx`, with numpy, tokenizers and onnxruntime alone.

python graph.py FOLDER "a text" "another"
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path(sys.argv[1], "artifacts", "pipeline", "graph")
manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
tokenizers = [Tokenizer.from_file(str(folder / each["file"])) for each in manifest["tokenizers"]]
sessions = [onnxruntime.InferenceSession(folder / each["file"]) for each in manifest["stages"]]
for text in sys.argv[2:]:
    for stage, session in zip(manifest["stages"], sessions, strict=True):
        fed = {}
        for each in stage["inputs"]:
            prompted = manifest["tokenizers"][each["tokenizer"]]["prompt"].replace("{text}", text)
            ids = np.array([tokenizers[each["tokenizer"]].encode(prompted).ids])
            fed |= {each["ids"]: ids, each["mask"]: np.ones_like(ids)}
        probabilities, scores, _ = session.run(None, fed)
        second, first = np.sort(scores[0])[-2:]
        if stage["threshold"] is None or first - second >= stage["threshold"]:
            break
    print(manifest["labels"][probabilities[0].argmax()], f"{probabilities[0].max():.3f}", text, sep="\t")
