"""What every command shares: Ctrl-C once, one line of an error, and the exit status."""

from __future__ import annotations
