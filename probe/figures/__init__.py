"""Figures of a paper, rebuilt from saved reports and maps alone: no model, no torch.

saved          the directory of reports and maps, read when a figure asks for them
reproduction   what ``probe-reproduce`` and ``probe-eval`` wrote, as values
paper          what a figure is, and how it is written: pictures, numbers, caption
chart          axes and series of the charts
maps           attention of several checkpoints and the chunk oracle on one sentence
mass           where the attention mass goes, by phenomenon
repeats        repeat confusion against occurrences of a token
clouds         queries and keys, without and with matching
mismatch       distance between queries and keys against training step
progress       alignment against bits per byte, over methods, seeds and steps
results        the table of a reproduction, in LaTeX
every          the table of all figures

Each figure is a frozen value of the numbers that it shows, made of what was saved; it draws and describes itself.
"""
