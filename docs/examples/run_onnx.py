"""An exported policy's probabilities for every decision of a trajectory file; needs numpy and onnxruntime alone.

    python run_onnx.py policy.onnx raw.jsonl
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
inputs = {each.name: each.shape for each in session.get_inputs()}
schema = json.loads(session.get_modelmeta().custom_metadata_map["schema"])
ids = {vocab: {name: id_ for id_, name in enumerate(["none", *names], start=1)}
       for vocab, names in schema["vocabulary"].items()}


def pack(observation):
    """Ids and numbers of an observation, as a dict whose missing keys take their default."""
    packed = {"category": [], "number": []}
    for field in schema["field"]:
        values = observation.get(field["name"])
        values = [field["default"]] * field["width"] if values is None else values if field["width"] > 1 else [values]
        if field["vocab"]:
            values = [ids[field["vocab"]].get(name, 0) if isinstance(name, str) else name for name in values]
        if field["kind"] == "bits":  # eleven flags to a number
            values = np.pad(values, (0, -len(values) % 11)).reshape(-1, 11) @ (1 << np.arange(11))
        packed["category" if field["vocab"] else "number"].extend(values)
    return packed["category"], packed["number"]


for line in Path(sys.argv[2]).read_text("utf-8").splitlines():
    steps = json.loads(line)["steps"]
    category, number = map(np.array, zip(*(pack(step["observation"]) for step in steps), strict=True))
    feed = {"category": category.astype(np.uint16), "number": number.astype(np.float16),
            "legal": np.array([step.get("legal") or [False] * 10 for step in steps])}
    if "is_pad" in inputs:  # a network that also reads the decisions before: windows that end with each
        before = np.arange(len(steps))[:, None] + np.arange(1 - inputs["is_pad"][1], 1)
        feed |= {"is_pad": before < 0} | {
            name: np.where(before[..., None] < 0, 0, feed[name][before]) for name in ("category", "number")}
    logits = session.run(["logits"], feed)[0]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    for probabilities in odds / odds.sum(axis=1, keepdims=True):
        print(json.dumps(probabilities.round(6).tolist()))
