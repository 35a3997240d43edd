"""FILE STEPS: the lecture's bigram net as a script: one-hot times W, softmax by hand, full-batch steps at lr 15."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

words = Path(sys.argv[1]).read_text().splitlines()
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
V = len(stoi)
xs, ys = [], []
for w in words:
    chs = [".", *w, "."]
    for ch1, ch2 in zip(chs, chs[1:]):  # noqa: B905, RUF007
        xs.append(stoi[ch1])
        ys.append(stoi[ch2])
xs, ys = torch.tensor(xs), torch.tensor(ys)
num = xs.nelement()
W = torch.randn((V, V), generator=torch.Generator().manual_seed(2147483647), requires_grad=True)
for _ in range(int(sys.argv[2])):
    xenc = F.one_hot(xs, num_classes=V).float()
    logits = xenc @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(num), ys].log().mean()
    W.grad = None
    loss.backward()
    W.data += -15 * W.grad
print(f"{loss.item()}")
