"""Small files in the published schemas, written by hand; one of each format."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np

from vocabulary.formats.importers.imported import TraceFile

AZURE_2023 = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224671,879,55
"""
AZURE_2024 = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
"""
FUNCTIONS_2021 = b"""app,func,end_timestamp,duration
app1,f1,10.5,0.5
app2,f1,3.25,1.25
app1,f2,4.5,4.0
app1,f1,2.0,0.5
"""
MOONCAKE = b"""{"timestamp": 0, "input_length": 1030, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 27482, "input_length": 1024, "output_length": 52, "hash_ids": [0, 9]}
{"timestamp": 1234, "input_length": 100, "output_length": 1, "hash_ids": [7]}
"""
BURSTGPT = b"""Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,API log
"""
SERVEGEN_TRACE = b"""0,0.01,1.5,Gamma,0.5,200.0
600,0,0,,0,0
1200,0.005,2.0,Weibull,0.6,130.0
"""
SERVEGEN_DATASET = b"""{"0": {"input_tokens": "{10: 0.25, 20: 0.75}", "output_tokens": "{5: 1.0}"},
 "1200": {"input_tokens": "{7: 1}", "output_tokens": "{}"}}"""
LMSYS = (
    b'{"conversation_id": "c1", "model": "vicuna-13b", "conversation": ['
    b'{"content": "12345678", "role": "user"}, {"content": "1234", "role": "assistant"}, '
    b'{"content": "123", "role": "user"}, {"content": "123456789", "role": "assistant"}], '
    b'"turn": 2, "language": "English", "openai_moderation": [{"flagged": false}], "redacted": false}\n'
    b'{"conversation_id": "c2", "model": "koala-13b", "conversation": ['
    b'{"content": "\xe6\x97\xa5\xe6\x9c\xac", "role": "user"}, {"content": "ok", "role": "assistant"}], '
    b'"turn": 1, "language": "Japanese", "openai_moderation": [], "redacted": false}\n'
)
ALPASERVE_COUNTS = pickle.dumps(
    OrderedDict(
        f1=np.array([0, 3, 1], np.int32), idle=np.zeros(3, np.int32), f2=np.array([2, 0, 0], np.int32)
    )
)


def functions_2019(rows: dict[str, dict[int, int]]) -> bytes:
    """A day: owner/app/function -> minute (from 1) -> count."""
    header = ["HashOwner", "HashApp", "HashFunction", "Trigger", *map(str, range(1, 1441))]
    lines = [",".join(header)]
    for name, counts in rows.items():
        cells = [*name.split("/"), "http", *(str(counts.get(minute, 0)) for minute in range(1, 1441))]
        lines.append(",".join(cells))
    return ("\n".join(lines) + "\n").encode()


FUNCTIONS_2019 = functions_2019({"o/a/f1": {1: 2, 1440: 1}, "o/a/idle": {}, "o/b/f2": {3: 5}})

# Format -> its files.
PUBLISHED: dict[str, tuple[TraceFile, ...]] = {
    "azure-llm-2023": (TraceFile("code.csv", AZURE_2023),),
    "azure-llm-2024": (TraceFile("code.csv", AZURE_2024),),
    "azure-functions-2019": (TraceFile("d01.csv", FUNCTIONS_2019),),
    "azure-functions-2021": (TraceFile("t.txt", FUNCTIONS_2021),),
    "mooncake": (TraceFile("t.jsonl", MOONCAKE),),
    "burstgpt": (TraceFile("t.csv", BURSTGPT),),
    "servegen": (
        TraceFile("data/language/m-large/chunk-3-trace.csv", SERVEGEN_TRACE),
        TraceFile("data/language/m-large/chunk-3-dataset.json", SERVEGEN_DATASET),
    ),
    "lmsys-chat-1m": (TraceFile("t.jsonl", LMSYS),),
    "alpaserve": (TraceFile("azure_v1.pkl", ALPASERVE_COUNTS),),
}
