"""Ends what a controller that was killed has left, so that nothing of its fleet runs."""

from __future__ import annotations

from pathlib import Path

from statmux.fleets import JOURNAL_FILE


def end_dead_fleet(folder: Path) -> str:
    """What was ended, in words; empty where nothing was left. folder: the fleet's, where nobody listens.

    Raises RuntimeFailure for processes that do not end, Unreachable where the Ray that it joined is silent.
    """
    from controller.journal import Journal
    from controller.keys import forget_keys, new_keys, read_keys
    from controller.life.past import Past
    from controller.on_ray.orphans import end_orphans

    journal = Journal(folder / JOURNAL_FILE)
    if not (folder / JOURNAL_FILE).exists():
        ended = ""
    else:
        journal.open()
        try:
            past = Past(journal)
            ended = end_orphans(past.cluster, read_keys(folder.name) or new_keys())
            past.forget()
            journal.event("orphans_ended", what=ended)
        finally:
            journal.close()
    forget_keys(folder.name)
    (folder / "control.sock").unlink(missing_ok=True)
    return ended
