"""Compiles the Triton kernels for an H100, which takes no GPU; prints a JSON line for each kernel.

    python -m tests.recurrent.compile_triton lstm:bfloat16:128 gru:float32:512 …

The kernels are called as they are in training, forwards and backwards, but what would be launched is only
compiled. Not in the interpreter, hence a process of its own.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from seqsum import GRUCell, LSTMCell
from seqsum.recurrent.kernels.triton.gru import unroll_gru
from seqsum.recurrent.kernels.triton.lstm import unroll_lstm

CELLS = {"lstm": (LSTMCell, unroll_lstm), "gru": (GRUCell, unroll_gru)}
POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.bool: "*i1",
}
OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion")
ALIGNED = [["tt.divisibility", 16]]


def compile_instead(kernel, *arguments, grid, warmup, **constants):
    """In place of a launch, which would specialise the kernel in the same way."""
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
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    barriers = len(re.findall(r"\b(?:gpu|ttg)\.barrier\b", compiled.asm["ttgir"]))
    report = {"kernel": f"{kernel.__module__.rpartition('.')[2]}{kernel.__name__}", "barriers": barriers}
    print(json.dumps(report | {"shared": compiled.metadata.shared} | resources(compiled.asm["cubin"])))


def resources(cubin):
    """Registers and bytes of stack, which is where registers spill to, a thread."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", path]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name.lower(): int(number) for name, number in re.findall(r"\b(REG|STACK):(\d+)", text)}


def main():
    for words in sys.argv[1:]:
        kind, dtype, size = words.split(":")
        cell_class, kernel = CELLS[kind]
        cell = cell_class(16, int(size)).to(getattr(torch, dtype))
        inputs, mask = torch.randn(2, 32, 16).to(cell.weight_hh), torch.ones(2, 32, dtype=torch.bool)
        state = [*cell.initial_state(32, inputs), torch.ones(32, int(size)).to(inputs)]
        with mock.patch.object(triton.JITFunction, "run", compile_instead):
            outputs, _ = kernel(cell, inputs, state, mask)
            outputs.sum().backward()


if __name__ == "__main__":
    main()
