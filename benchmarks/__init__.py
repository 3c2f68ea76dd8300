"""What a backbone is worth: evaluations, transfer, comparisons, analyses, pictures and speed."""

from pretrain.former_names import forward

forward(
    {
        "benchmarks.cam": "benchmarks.frozen.cam",
        "benchmarks.correspondence": "benchmarks.frozen.correspondence",
        "benchmarks.decoder": "benchmarks.frozen.decoder",
        "benchmarks.depth": "benchmarks.frozen.depth",
        "benchmarks.evaluation_hook": "benchmarks.evaluate.hook",
        "benchmarks.extractor": "benchmarks.core.extractor",
        "benchmarks.knn": "benchmarks.frozen.knn",
        "benchmarks.linear": "benchmarks.frozen.linear",
        "benchmarks.localisation": "benchmarks.evaluate.cim",
        "benchmarks.probe": "benchmarks.frozen.probe",
        "benchmarks.record": "benchmarks.core.record",
        "benchmarks.retrieval": "benchmarks.frozen.retrieval",
        "benchmarks.robustness.frozen": "benchmarks.frozen.robustness",
        "benchmarks.suite": "benchmarks.evaluate.suite",
        "benchmarks.transfer.modules": "benchmarks.mm.modules",
        "benchmarks.vectors": "benchmarks.core.vectors",
    }
)
