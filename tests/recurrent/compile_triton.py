"""Compile the Triton kernels for GPUs that this machine needn't have; print a JSON line for each kernel.

    python -m tests.recurrent.compile_triton lstm:bfloat16:128:32:90 gru:float32:256:64:80 …

The arguments give cell, type, units, rows and compute capability. The kernels are called as in training, forwards and
backwards, by Triton's own launcher for a driver that compiles for such a GPU and launches nothing. This doesn't work in
the interpreter, so it is a process of its own.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from seqsum import GRUCell, LSTMCell, RNNCell
from seqsum.recurrent.kernels.autograd import run_kernel
from seqsum.recurrent.kernels.triton import compiled, launch, persistent, stepped
from seqsum.recurrent.kernels.triton.unroll import UnrollTriton

CELLS = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}
KERNELS = persistent.forward, persistent.backward, stepped.forward_once, stepped.backward_once
STEPS = 3
TYPES = torch.float32, torch.float16, torch.bfloat16
# loads that wait for another program's stores; products on tensor cores
PATTERNS = {"waiting": r"ld\.volatile\.global", "products": r"wgmma\.mma_async|mma\.sync|tcgen05\.mma"}


class Twice(compiled.Launch):
    """Launch everything twice: Triton looks for the kernel only the first time."""

    def __call__(self, *numbers):
        super().__call__(*numbers)
        super().__call__(*numbers)


class Driver:
    """Triton's driver for a GPU that isn't there; `launched` holds grid and arguments of all launches by kernel."""

    def __init__(self, capability):
        self.target = GPUTarget("cuda", capability, 32)
        self.launched = defaultdict(list)
        self.utils = self  # Triton asks these for the methods below

    def launcher_cls(self, source, metadata):
        def launch(x, y, z, stream, function, packed, launch_metadata, enter_hook, exit_hook, *arguments):
            self.launched[source.fn.__name__].append(((x, y, z), arguments))

        return launch

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return self.target.arch  # so that it compiles anew for another one

    def get_current_stream(self, device):
        return 0

    def get_device_properties(self, device):
        return {"max_shared_mem": 227 * 1024}

    def load_binary(self, name, binary, shared, device):
        return 1, 1, 0, 0, 1024  # module, function, registers, spills, most threads

    def unload_module(self, module):
        pass


def report(compiled):
    """Describe a compiled kernel."""
    constants = {compiled.src.fn.arg_names[place]: value for (place,), value in compiled.src.constants.items()}
    found = {"kernel": compiled.src.fn.__name__, "together": compiled.metadata.launch_cooperative_grid}
    found["streamed"] = constants.get("streamed", False)
    found |= {name: len(re.findall(pattern, compiled.asm["ptx"])) for name, pattern in PATTERNS.items()}
    found["barriers"] = longest_loop(compiled.asm["ptx"]).count("bar.sync")  # of a step
    return found | {"shared": compiled.metadata.shared} | resources(compiled.asm["cubin"])


def longest_loop(ptx):
    """Return the lines of the longest loop, from its label to the branch back to it; empty without a loop."""
    lines = ptx.splitlines()
    labels = {found[1]: place for place, line in enumerate(lines) if (found := re.match(r"(\$\w+):", line))}
    loops = [
        (place - labels[found[1]], place)
        for place, line in enumerate(lines)
        if (found := re.search(r"\bbra\S*\s+(\$\w+)", line)) and labels[found[1]] < place
    ]
    length, end = max(loops, default=(0, 0))
    return "\n".join(lines[end - length : end])


def resources(cubin):
    """Return registers and bytes of stack (spilled registers) per thread."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", path]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name.lower(): int(number) for name, number in re.findall(r"\b(REG|STACK):(\d+)", text)}


def describe_launches(kernel, launches):
    """Return the number of launches, their steps if a launch is a step, and whether only the step changes."""
    others, steps = [], []
    for grid, arguments in launches:
        place = kernel.arg_names.index("step") if "step" in kernel.arg_names else len(arguments)
        steps += arguments[place : place + 1]
        rest = arguments[:place] + arguments[place + 1 :]
        others.append((grid, *(a.data_ptr() if isinstance(a, torch.Tensor) else a for a in rest)))
    return {"launches": len(launches), "steps": steps, "same": len(set(others)) == 1}


def compare_keys(seed=0, changes=400):
    """Change a kernel's arguments one by one, and compare what Triton specialises it on with its key in `compiled`.

    Return the number of kinds that Triton distinguishes, and those of them that have the key of another.
    """
    driver.set_active(Driver(90))
    draw, kernel = Random(seed), stepped.forward_once
    bind, count = kernel.create_binder()[-1], kernel.arg_names.index("step")
    tensor = {"type": TYPES, "first": range(2), "there": [True, True, False]}
    choices = [("size", [1, 16, 17]), ("name", list(CELLS)), ("variant", [False, True]), ("reverse", [False, True])]
    choices += [((k, what), values) for k in range(count) for what, values in tensor.items()]
    drawn, kinds, confused = {name: values[0] for name, values in choices}, {}, []
    for name, values in draw.choices(choices, k=changes):
        drawn[name] = draw.choice(values)
        tensors = [
            torch.zeros(9, dtype=drawn[k, "type"])[drawn[k, "first"] :] if not k or drawn[k, "there"] else None
            for k in range(count)
        ]
        call = compiled.Call(drawn["name"], drawn["variant"], drawn["reverse"], "ieee")
        started = compiled.Launch(kernel, (1, 1), call, None, drawn["size"], *tensors)
        numbers = [draw.choice([0, 1, 16, 17]) for _ in range(3)]
        _, kind, options = bind(*tensors, *numbers, **started.constants())
        if kinds.setdefault(started.key, (kind, options)) != (kind, options):
            confused.append(f"{name}: {kind}")
    return {"kinds": len({str(kind) for kind in kinds.values()}), "taken for another": confused}


def main():
    launch.Launch = Twice
    for words in sys.argv[1:]:
        name, dtype, *numbers = words.split(":")
        size, batch, capability = map(int, numbers)
        driver.set_active(Driver(capability))
        compiled.compiled.clear()
        for kernel in KERNELS:
            kernel.device_caches.clear()
        cell = CELLS[name](16, size).to(getattr(torch, dtype))
        inputs, mask = torch.randn(STEPS, batch, 16).to(cell.weight_hh), torch.ones(STEPS, batch, dtype=torch.bool)
        state = [s.requires_grad_() for s in cell.initial_state(batch, inputs)]
        print(json.dumps({"words": words}), flush=True)
        outputs, _ = run_kernel(partial(UnrollTriton, name), cell, inputs, state, mask)
        outputs.sum().backward()
        for kernel in KERNELS:
            for cached in kernel.device_caches.values():
                for found in cached[0].values():
                    launches = describe_launches(kernel, driver.active.launched[kernel.__name__])
                    print(json.dumps(report(found) | launches), flush=True)
    print(json.dumps(compare_keys()))


if __name__ == "__main__":
    main()
