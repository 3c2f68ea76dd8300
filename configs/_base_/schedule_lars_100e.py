"""PixPro's optimisation: LARS (SGD with momentum 0.9 inside, trust coefficient 0.001), weight decay
1e-5 on matrices and filters only, added to the gradient before its norm is taken, peak lr 1.0 per
256 images (4.0 at 1024), 5 epochs of linear warm-up from lr / 100, then a cosine to 1e-6, all per
step.

Source:   the authors' repository (lars.py, lr_scheduler.py, main_pretrain.py, tools/*.sh); steps of
          our LARS equal those of its lars.py up to rounding. With another batch use lr_rule="sqrt",
          lr_per_256=2.0: the author's rule lr = 4 * sqrt(batch / 1024) (issue 5 there). lr 4.0
          belongs to LARS: give SGD and AdamW ordinary rates
"""

schedule = dict(
    global_batch=1024, epochs=100, warmup_epochs=5, lr_rule="linear", lr_per_256=1.0, lr_min=1e-6
)
optimizer = dict(type="Lars", momentum=0.9, trust_coeff=0.001, eps=1e-8, weight_decay=1e-5)
