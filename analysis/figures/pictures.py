"""Figures as files; importing this loads nothing that draws."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A figure as files."""

    name: str
    """Name of its files, without suffix."""
    dataset: str
    kind: str
    """The kind of figure: ``bounds``, ``ppl``, …"""
    title: str
    """The words above the figure, which name the dataset."""
    caption: str
    svg: str
    png: bytes


@dataclass(frozen=True)
class Pictures:
    """The figures that were drawn, and a line with the reason for each that was not."""

    drawn: tuple[Picture, ...]
    left_out: tuple[str, ...]
