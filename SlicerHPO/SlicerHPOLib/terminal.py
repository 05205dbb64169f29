"""Progress of a job on a terminal, and lines that are printed while it shows."""

from __future__ import annotations

import shutil
import sys
import time


class ProgressBar:
    """A progress bar on standard error while its `with` block runs; nothing at all where that is not a terminal.

    `report` is what a `Job` takes. Lines go through `print`, so that they do not tear the bar. tqdm draws it if it is
    installed.
    """

    def __init__(self, shown: bool = True):
        self._shown = shown and sys.stderr.isatty()
        self._tqdm = None
        self._drawn_at = 0.0

    def __enter__(self) -> ProgressBar:
        if self._shown:
            try:
                from tqdm import tqdm
            except ImportError:
                return self
            layout = "{percentage:3.0f} % |{bar:30}| {elapsed}<{remaining} {desc}"
            self._tqdm = tqdm(total=1.0, bar_format=layout, file=sys.stderr, leave=False)
        return self

    def __exit__(self, *exception) -> None:
        if self._tqdm is not None:
            self._tqdm.close()
        elif self._shown:
            self._erase()

    def report(self, fraction: float, text: str = "") -> None:
        """Show that `fraction` of the work is done."""
        if self._tqdm is not None:
            self._tqdm.set_description_str(text, refresh=False)
            self._tqdm.update(fraction - self._tqdm.n)
        elif self._shown and time.monotonic() - self._drawn_at > 0.1:
            self._drawn_at = time.monotonic()
            line = f"{100 * fraction:3.0f} % {text}"
            self._erase(line[: shutil.get_terminal_size().columns - 1])

    def print(self, line: str, file=None) -> None:
        """Print a line above the bar."""
        file = file or sys.stdout
        if self._tqdm is not None:
            self._tqdm.write(line, file=file)
        else:
            if self._shown:
                self._erase()
            print(line, file=file)
        file.flush()

    def _erase(self, line: str = "") -> None:
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
