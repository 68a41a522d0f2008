"""Tables and figures over several networks or trainings: `python -m seqsum.experiments …`."""
