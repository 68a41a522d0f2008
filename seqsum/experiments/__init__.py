"""Compare several networks or trainings in tables and figures: `python -m seqsum.experiments …`."""
