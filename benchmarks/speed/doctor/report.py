"""Collects the findings and shows them: a table for people, JSON for programs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from benchmarks.speed.doctor import machine, parts, requirements
from pretrain.places import checkout

Findings = dict[str, Any]  # what :func:`collect` returns
COLOURS = {"ok": "green", "BROKEN": "red", "missing": "yellow"}


def collect(*, measure: bool = False) -> Findings:
    """Looks at everything and returns plain values.

    Args:
        measure: also measure the gain of bf16 (about three seconds).

    Returns:
        ``machine``, ``core``, ``pins``, ``accelerators``, ``optional``, ``measured``, ``advice``
        and ``broken``: the names of core packages that do not import. What cannot be looked at
        because of them is left out.
    """
    core = parts.core()
    broken = [part for part in core if not part.there]
    findings: Findings = {
        "machine": machine.describe(Path.cwd()),
        "core": [part.as_dict() for part in core],
        "broken": [part.name for part in broken],
        "pins": requirements.unmet(pins()),
        "accelerators": [],
        "optional": [],
        "measured": {},
        "advice": [f"{part.name}: {part.advice}" for part in broken],
    }
    if "torch" in findings["broken"]:
        return findings
    findings["accelerators"] = machine.accelerators()
    optional = parts.optional()
    findings["optional"] = [part.as_dict() for part in optional]
    findings["advice"] += machine_advice(findings) + part_advice(optional)
    if not broken:
        add_measurements(findings, measure)
    return findings


def pins() -> list[requirements.Requirement]:
    """Returns the versions that were tested together: a checkout's, or the installed package's."""
    root = checkout()
    if root is not None:
        return requirements.read(root / "requirements" / "core.txt")
    try:
        return requirements.of_package("pixelpretext")
    except PackageNotFoundError:  # copied, not installed
        return []


def add_measurements(findings: Findings, measure: bool) -> None:
    """Adds decode rate, worker advice and, if ``measure``, the gain of bf16 to ``findings``."""
    from benchmarks.speed.doctor import measure as measuring

    try:
        rate = measuring.decode_rate()
    except Exception as error:  # the doctor reports what is ill, it does not fall ill itself
        findings["advice"].insert(
            0, f"decoding a generated JPEG failed: {type(error).__name__}: {error}"
        )
        return
    devices = len(findings["accelerators"])
    findings["measured"]["decode_images_per_s"] = round(rate)
    findings["advice"].insert(
        0, measuring.worker_advice(rate, findings["machine"]["cores"], devices)
    )
    if measure:
        gain = measuring.bf16_speed_up()
        findings["measured"]["bf16_speed_up"] = round(gain, 2)
        choice = (
            "engine.precision = 'bf16' is worth trying"
            if gain > 1.2
            else "stay with engine.precision = 'fp32'"
        )
        findings["advice"].insert(
            1, f"{choice}: a small convolution runs {gain:.2f} times as fast in bf16"
        )


def part_advice(optional: list[parts.Part]) -> list[str]:
    """Returns what to do about the missing parts, one sentence for those with one cure."""
    cures: dict[str, list[str]] = {}
    for part in optional:
        if not part.there and part.advice:
            cures.setdefault(part.advice, []).append(part.name)
    return [f"{', '.join(names)}: {advice}" for advice, names in cures.items()]


def machine_advice(findings: Findings) -> list[str]:
    """Returns sentences on what in the machine will be in the way of training."""
    sentences = []
    described = findings["machine"]
    if machine.silent_gpu():
        sentences.append(
            "the driver shows a GPU that torch does not see: install a torch for the driver's CUDA"
        )
    if described["disk_gib"]["free"] < 5:
        sentences.append(
            f"only {described['disk_gib']['free']} GiB of disk are free: checkpoints may not fit"
        )
    shared = described["shared_memory_gib"]
    if shared is not None and shared < 1:
        sentences.append(
            f"/dev/shm has {shared} GiB: loader workers need more (docker run --shm-size=8g)"
        )
    if findings["pins"]:
        sentences.append(
            "versions differ from the tested ones, which is allowed: " + "; ".join(findings["pins"])
        )
    return sentences


def show(findings: Findings) -> None:
    """Prints ``findings`` as a table; as plain lines where rich is what is broken."""
    rows = machine_rows(findings) + part_rows(findings)
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        print("\n".join(f"{name:24} {state:8} {detail}" for name, state, detail in rows))
        print("\n".join(findings["advice"]))
        return
    table = Table("what", "state", "detail", title="PixelPretext doctor", show_lines=False)
    for column in table.columns:
        column.overflow = "fold"
    for name, state, detail in rows:
        shown = f"[{COLOURS[state]}]{state}[/]" if state else ""
        table.add_row(name, shown, escape(detail))  # square brackets in a detail are no markup
    console = Console()
    console.print(table)
    for sentence in findings["advice"]:
        console.print(f"- {sentence}", markup=False)
    if findings["broken"]:
        console.print(
            f"The core is broken: {', '.join(findings['broken'])}.", style="red", markup=False
        )


def machine_rows(findings: Findings) -> list[tuple[str, str, str]]:
    """Returns table rows (what, state, detail) on the machine and what was measured."""
    described, measured = findings["machine"], findings["measured"]
    memory, disk = described["memory_gib"], described["disk_gib"]
    devices = map(machine.in_words, findings["accelerators"])
    rows = [
        ("Python", "", f"{described['python']}  {described['executable']}"),
        ("cores", "", f"{described['cores']}  {' '.join(described['cpu_features'])}"),
        (
            "memory",
            "",
            f"{memory['available']} of {memory['total']} GiB available" if memory else "unknown",
        ),
        ("disk", "", f"{disk['free']} of {disk['total']} GiB free"),
        ("devices", "", "; ".join(devices) or "CPU only"),
    ]
    if "decode_images_per_s" in measured:
        rows.append(
            ("decoding", "", f"{measured['decode_images_per_s']} images/s per core (500×375 JPEG)")
        )
    if "bf16_speed_up" in measured:
        rows.append(
            ("bf16 against fp32", "", f"{measured['bf16_speed_up']}×, one small convolution")
        )
    return rows


def part_rows(findings: Findings) -> list[tuple[str, str, str]]:
    """Returns table rows on core packages and optional parts."""
    rows = [(p["name"], "ok" if p["there"] else "BROKEN", p["detail"]) for p in findings["core"]]
    for part in findings["optional"]:
        detail = part["detail"] if part["there"] else f"{part['detail']} – {part['gives']}"
        rows.append((part["name"], "ok" if part["there"] else "missing", detail))
    return rows
