"""COUNT FOLDER WORDS: a sweep's jobs alone, in a process that has imported everything; prints their seconds."""

import sys
import time
from pathlib import Path

from nextchar.config.compose import run_settings
from nextchar.training import train as training

count, folder, *words = sys.argv[1:]
first = run_settings(words)
jobs = [
    first.model_copy(update={"smoothing": first.smoothing.model_copy(update={"k": float(k)})})
    for k in range(1, int(count) + 1)
]
training.train(first, Path(folder) / "imports")
began = time.perf_counter()
for number, settings in enumerate(jobs):
    training.train(settings, Path(folder) / str(number))
print(time.perf_counter() - began)
