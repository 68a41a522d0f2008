"""Compile the Triton kernels for GPUs that this machine needn't have; print a JSON line for each kernel.

    python -m tests.recurrent.compile_triton lstm:bfloat16:128:32:90 gru:float32:256:64:80 …

The arguments give cell, type, units, rows and compute capability. The kernels are called as in training, forwards and
backwards, but compiled instead of launched. This doesn't work in the interpreter, so it is a process of its own.
"""

import json
import re
import subprocess
import sys
from functools import partial, partialmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from seqsum import GRUCell, LSTMCell, RNNCell
from seqsum.recurrent.kernels.autograd import run_kernel
from seqsum.recurrent.kernels.triton.unroll import UnrollTriton

CELLS = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}
POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.uint8: "*u8",
    torch.int16: "*i16",
    torch.int32: "*i32",
}
OPTIONS = ("num_warps", "enable_fp_fusion", "launch_cooperative_grid")
# loads that wait for another program's stores; products on tensor cores
PATTERNS = {"waiting": r"ld\.volatile\.global", "products": r"wgmma\.mma_async|mma\.sync"}
ALIGNED = [["tt.divisibility", 16]]


def compile_instead(kernel, capability, *arguments, grid, warmup, **constants):
    """Compile a kernel instead of launching it, with the same specialisation."""
    options = {name: constants.pop(name) for name in OPTIONS if name in constants}
    values = dict(zip(kernel.arg_names, arguments, strict=False)) | constants
    signature, fixed, attributes = {}, {}, {}
    for index, (name, value) in enumerate((name, values[name]) for name in kernel.arg_names):
        if isinstance(value, torch.Tensor):
            signature[name], attributes[index,] = POINTERS[value.dtype], ALIGNED
        elif value is None or kernel.params[index].is_constexpr:
            signature[name], fixed[name] = "constexpr", value
        else:
            signature[name] = "i32"
            aligned = value % 16 == 0 and not kernel.params[index].do_not_specialize
            attributes |= {(index,): ALIGNED} if aligned else {}
    source = ASTSource(kernel, signature, fixed, attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    report = {"kernel": kernel.__name__, "together": "launch_cooperative_grid" in options}
    report |= {name: len(re.findall(pattern, compiled.asm["ptx"])) for name, pattern in PATTERNS.items()}
    print(json.dumps(report | {"shared": compiled.metadata.shared} | resources(compiled.asm["cubin"])), flush=True)


def resources(cubin):
    """Return registers and bytes of stack (spilled registers) per thread."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", path]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name.lower(): int(number) for name, number in re.findall(r"\b(REG|STACK):(\d+)", text)}


def main():
    for words in sys.argv[1:]:
        name, dtype, *numbers = words.split(":")
        size, batch, capability = map(int, numbers)
        cell = CELLS[name](16, size).to(getattr(torch, dtype))
        inputs, mask = torch.randn(2, batch, 16).to(cell.weight_hh), torch.ones(2, batch, dtype=torch.bool)
        state = [s.requires_grad_() for s in cell.initial_state(batch, inputs)]
        print(json.dumps({"words": words}), flush=True)
        with mock.patch.object(triton.JITFunction, "run", partialmethod(compile_instead, capability)):
            outputs, _ = run_kernel(partial(UnrollTriton, name), cell, inputs, state, mask)
            outputs.sum().backward()


if __name__ == "__main__":
    main()
