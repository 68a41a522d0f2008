"""Training steps as CUDA graphs: capture, replay, and when a step must run eagerly instead."""

from seqsum.graphs.module import CudaGraph, GraphedModule

__all__ = ["CudaGraph", "GraphedModule"]
