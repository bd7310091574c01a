"""Fine-tuning in several processes on one machine, by `torchrun`.

    torchrun --nproc-per-node 4 -m rowgraph.language.processes ORDER.json

`ORDER.json` names the corpus, the settings, the draft folder and the device. Process 0 reports
progress as lines of JSON on its standard output and leaves the summary, or the error, beside the
order. The steps are those of one process: only rounding (and the draws of dropout) differ.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rowgraph.artifacts import Draft, write_json
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.progress import Log

PROGRESS = "rowgraph progress "  # marks our lines among those of the launcher


def fine_tune_in_processes(corpus_parquet: Path, settings: BartCheckpointSettings, draft: Draft, *,
                           device: str, log: Log, processes: int,
                           threads: int | None = None) -> dict[str, Any]:
    """As `fine_tune`, with the rows of each step shared among processes.

    Args:
        processes: one for each GPU, or as many as the cores should be shared by.
        threads: of each process on a CPU; None leaves it to the launcher, which gives one.

    Returns:
        The summary of `fine_tune`.

    Raises:
        Exception: as `fine_tune`, by the same class where the error has one of its own.
        RuntimeError: the processes ended without a word, for example for want of memory.
    """
    from rowgraph.language.fine_tuning import fine_tune

    if processes == 1:
        return fine_tune(corpus_parquet, settings, draft, device=device, log=log)
    order, answer = draft.state / "order.json", draft.state / "order.answer.json"
    answer.unlink(missing_ok=True)
    write_json(order, {
        "corpus": str(corpus_parquet.resolve()), "draft": str(draft.folder.resolve()),
        "settings": settings.model_dump(mode="json"), "device": device, "threads": threads})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
               str(processes), "-m", "rowgraph.language.processes", str(order.resolve())]
    words = draft.state / "processes.log"
    with open(words, "w") as errors:
        launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                    cwd=Path(__file__).resolve().parents[2],
                                    start_new_session=True)
    try:
        for line in launcher.stdout:
            if line.startswith(PROGRESS):
                log(*json.loads(line.removeprefix(PROGRESS)))
        launcher.wait()
    except BaseException:
        os.killpg(launcher.pid, signal.SIGKILL)  # what was saved is continued from
        launcher.wait()
        raise
    if not answer.exists():
        raise RuntimeError(f"bart_checkpoint: the {processes} fine-tuning processes ended with "
                           f"code {launcher.returncode} and no answer; the last words were: "
                           f"{words.read_text().strip()[-600:]}. Run again to continue from the "
                           "last checkpoint, or set compute.processes to 1")
    found = json.loads(answer.read_text())
    if "error" in found:
        raise _error(found["error"], found["message"])
    return found["summary"]


def _error(name: str, message: str) -> Exception:
    """The exception that a process died of."""
    from rowgraph.language.health import CollapseError
    from rowgraph.language.vocabulary import CheckpointError

    known = {c.__name__: c for c in (CollapseError, CheckpointError, ValueError)}
    return known[name](message) if name in known else RuntimeError(f"{name}: {message}")


def main(order: Path) -> None:
    """One of the processes."""
    import torch
    from accelerate import PartialState

    from rowgraph.language.fine_tuning import fine_tune

    facts = json.loads(order.read_text())
    if facts["threads"]:
        torch.set_num_threads(facts["threads"])
    first = PartialState(cpu=facts["device"] == "cpu").is_main_process
    answer = order.with_suffix(".answer.json")

    def log(*said: Any) -> None:
        print(PROGRESS + json.dumps(said), flush=True)

    try:
        summary = fine_tune(Path(facts["corpus"]),
                            BartCheckpointSettings.model_validate(facts["settings"]),
                            Draft(Path(facts["draft"])), device=facts["device"], log=log)
    except Exception as error:
        if first:
            write_json(answer, {"error": type(error).__name__, "message": str(error)})
        raise
    if first:
        write_json(answer, {"summary": summary})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
