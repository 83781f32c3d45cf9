#!/usr/bin/env bash
# curl: text in, a vector out
curl -s http://127.0.0.1:8000/v1/embeddings -H 'content-type: application/json' -d '{"model": "embed", "input": "a real sentence encoder"}' | cut -c 1-200
# tritonclient
python -c "import numpy as np, tritonclient.grpc as t; x = t.InferInput('text_input', [1], 'BYTES'); x.set_data_from_numpy(np.array([b'a real sentence encoder'], object)); print(t.InferenceServerClient('127.0.0.1:8001').infer('embed', [x]).as_numpy('embedding').shape)"
# openai: the weights of chat are random and it has no tokenizer, so ids in, ids out
python -c "from openai import OpenAI; print(OpenAI(base_url='http://127.0.0.1:8000/v1', api_key='none').completions.create(model='chat', prompt=[11, 22, 33], max_tokens=8).choices[0].token_ids)"
