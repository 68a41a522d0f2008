"""Which equations a cell computes: the reference, a known variant of it, a known mistake, or something else."""
