"""Fine-tuning for classification: the whole network is trained on labels, all of them or a
fraction.

The network is the pretrained one with a linear layer behind its pooled features; recipes are
configs of the engine in ``configs/finetune``. The value reported is that of the last step's weights
on the validation part, looked at once.
"""

from benchmarks.finetune.run import BENCHMARK
from benchmarks.finetune.settings import Settings

__all__ = ["BENCHMARK", "Settings"]
