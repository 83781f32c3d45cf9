#!/usr/bin/env bash
# curl: three token ids in, a score of every possible next token out
curl -s http://127.0.0.1:8000/v2/models/tiny/infer -d '{"inputs": [{"name": "input_ids", "shape": [1, 3], "datatype": "INT64", "data": [11, 22, 33]}]}' | cut -c 1-200
# tritonclient
python -c "import numpy as np, tritonclient.grpc as t; x = t.InferInput('input_ids', [1, 3], 'INT64'); x.set_data_from_numpy(np.array([[11, 22, 33]])); print(t.InferenceServerClient('127.0.0.1:8001').infer('tiny', [x]).as_numpy('logits').shape)"
# openai: its weights are random and it has no tokenizer, so ids in, ids out
python -c "from openai import OpenAI; print(OpenAI(base_url='http://127.0.0.1:8000/v1', api_key='none').completions.create(model='writer', prompt=[11, 22, 33], max_tokens=8).choices[0].token_ids)"
