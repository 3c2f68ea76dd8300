"""Collects the findings and shows them: a table for people, JSON for programs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.doctor import machine, parts, requirements
from pretrain.places import checkout


def collect(*, measure: bool = False) -> dict[str, object]:
    """Looks at everything and returns plain values.

    Args:
        measure: also measure the gain of bf16 (about three seconds).

    Returns:
        ``machine``, ``core``, ``pins``, ``accelerators``, ``optional``, ``measured``, ``advice``
        and ``broken``: the names of core packages that do not import. What cannot be looked at
        because of them is left out.
    """
    core = parts.core()
    broken = [part.name for part in core if not part.there]
    found: dict[str, object] = {
        "machine": machine.describe(Path.cwd()),
        "core": [part.as_dict() for part in core],
        "broken": broken,
        "pins": requirements.unmet(pins()),
        "accelerators": [],
        "optional": [],
        "measured": {},
        "advice": [f"{part.name}: {part.advice}" for part in core if not part.there],
    }
    if "torch" in broken:
        return found
    found["accelerators"] = machine.accelerators()
    optional = parts.optional()
    found["optional"] = [part.as_dict() for part in optional]
    found["advice"] += machine_advice(found) + part_advice(optional)
    if not broken:
        add_measurements(found, measure)
    return found


def pins() -> list[requirements.Requirement]:
    """Returns the versions that were tested together: a checkout's, or the installed package's."""
    root = checkout()
    if root is None:
        return requirements.of_package("pixelpretext")
    return requirements.read(root / "requirements" / "core.txt")


def add_measurements(found: dict[str, object], measure: bool) -> None:
    """Adds decode rate, worker advice and, if ``measure``, the gain of bf16 to ``found``."""
    from benchmarks.doctor import measure as measuring

    try:
        rate = measuring.decode_rate()
    except Exception as error:  # the doctor reports what is ill, it does not fall ill itself
        found["advice"].insert(
            0, f"decoding a generated JPEG failed: {type(error).__name__}: {error}"
        )
        return
    devices = len(found["accelerators"])
    found["measured"]["decode_images_per_s"] = round(rate)
    found["advice"].insert(0, measuring.worker_advice(rate, found["machine"]["cores"], devices))
    if measure:
        gain = measuring.bf16_speed_up()
        found["measured"]["bf16_speed_up"] = round(gain, 2)
        choice = (
            "engine.precision = 'bf16' is worth trying"
            if gain > 1.2
            else "stay with engine.precision = 'fp32'"
        )
        found["advice"].insert(
            1, f"{choice}: a small convolution runs {gain:.2f} times as fast in bf16"
        )


def part_advice(optional: list[parts.Part]) -> list[str]:
    """Returns what to do about the missing parts, one sentence for those with one cure."""
    cures: dict[str, list[str]] = {}
    for part in optional:
        if not part.there and part.advice:
            cures.setdefault(part.advice, []).append(part.name)
    return [f"{', '.join(names)}: {advice}" for advice, names in cures.items()]


def machine_advice(found: dict[str, object]) -> list[str]:
    """Returns sentences on what in the machine will be in the way of training."""
    sentences = []
    described = found["machine"]
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
    if found["pins"]:
        sentences.append(
            "versions differ from the tested ones, which is allowed: " + "; ".join(found["pins"])
        )
    return sentences


def show(found: dict[str, object]) -> None:
    """Prints ``found`` as tables; needs rich, and falls back on plain lines where that is what is
    broken.
    """
    rows = machine_rows(found) + part_rows(found)
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print("\n".join(f"{name:24} {state:8} {detail}" for name, state, detail in rows))
        print("\n".join(found["advice"]))
        return
    table = Table(title="PixelPretext doctor", show_lines=False)
    for heading in ("what", "state", "detail"):
        table.add_column(heading, overflow="fold")
    colours = {"ok": "[green]ok[/]", "BROKEN": "[red]BROKEN[/]", "missing": "[yellow]missing[/]"}
    for name, state, detail in rows:
        # Square brackets in a detail are text, not markup.
        table.add_row(name, colours.get(state, state), detail.replace("[", r"\["))
    console = Console()
    console.print(table)
    for sentence in found["advice"]:
        console.print(f"- {sentence}", markup=False)
    if found["broken"]:
        console.print(
            f"The core is broken: {', '.join(found['broken'])}.", style="red", markup=False
        )


def machine_rows(found: dict[str, object]) -> list[tuple[str, str, str]]:
    """Returns table rows (what, state, detail) on the machine and what was measured."""
    described, measured = found["machine"], found["measured"]
    memory, disk = described["memory_gib"], described["disk_gib"]
    devices = [
        f"{d['name']}, {d['memory_gib']} GiB, capability "
        f"{d['capability']}{', bf16' if d['bf16'] else ''}"
        for d in found["accelerators"]
    ]
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


def part_rows(found: dict[str, object]) -> list[tuple[str, str, str]]:
    """Returns table rows on core packages and optional parts."""
    rows = [(p["name"], "ok" if p["there"] else "BROKEN", p["detail"]) for p in found["core"]]
    for part in found["optional"]:
        detail = part["detail"] if part["there"] else f"{part['detail']} – {part['gives']}"
        rows.append((part["name"], "ok" if part["there"] else "missing", detail))
    return rows
