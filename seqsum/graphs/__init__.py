"""Training steps as CUDA graphs: what is captured, and where a step must run as it is written."""

from seqsum.graphs.module import CudaGraph, GraphedModule

__all__ = ["CudaGraph", "GraphedModule"]
