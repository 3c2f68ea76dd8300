"""How a backbone is trained: data, views, objectives, engine and hooks."""

from pretrain.former_names import forward

forward(
    {
        "pretrain.engine.nonfinite": "pretrain.engine.hooks.nonfinite",
        "pretrain.engine.preemption": "pretrain.engine.hooks.preemption",
        "pretrain.engine.progress": "pretrain.engine.hooks.progress",
        "pretrain.engine.saving": "pretrain.engine.hooks.saving",
        "pretrain.hooks.skipped_files": "pretrain.engine.hooks.skipped_files",
        "pretrain.objectives.attack": "pretrain.objectives.parts.attack",
        "pretrain.objectives.base": "pretrain.objectives.parts.base",
        "pretrain.objectives.levels": "pretrain.objectives.parts.levels",
        "pretrain.objectives.queue": "pretrain.objectives.parts.queue",
        "pretrain.objectives.reduce": "pretrain.objectives.parts.reduce",
        "pretrain.objectives.supcon_loss": "pretrain.objectives.parts.supcon_loss",
    }
)
