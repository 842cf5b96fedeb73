"""A GPU where there is none: CPU tensors that say they lie on CUDA or MPS, and a mode that refuses what such a device would.

Inside `with Pretend() as gpu:` every tensor claims a place: "cuda" and "mps" may be named wherever PyTorch takes a device.
Values are really computed, on the CPU. Tensors that claim two places are not mixed, a generator draws on its own device
alone, an index must lie on the CPU or beside what it indexes, and MPS knows no float64. `gpu.waits` lists what a device
would be waited for: values that are read back from it, and values that are sent to it."""
import sys
import traceback
from contextlib import ExitStack
from unittest.mock import patch

import torch
import torch._dynamo # which looks at the functions that are patched here, when an optimizer is made
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")
NO_FLOAT64 = ("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
              "Please use float32 instead.")
# What PyTorch 2.14 does not bring to MPS (its native_functions.yaml has no such entry), of what this package might want.
NOT_ON_MPS = {"special_log_ndtr", "special_ndtri", "mode", "linalg_eig", "linalg_eigvals", "pdist", "frexp"}
READS = {"item", "tolist", "__bool__", "__int__", "__float__", "__index__", "__complex__", "__format__", "__repr__",
         "__contains__", "is_nonzero", "equal", "allclose", "nonzero", "argwhere", "masked_select", "unique",
         "unique_consecutive", "bincount", "repeat_interleave", "cholesky", "inverse"}
WAITS_NOT = {"linalg_vector_norm", "linalg_norm", "linalg_solve_triangular", "linalg_vecdot", "linalg_cross"}
ONLY_SHAPES = {"expand_as", "view_as", "reshape_as", "is_same_size", "result_type", "can_cast",
               "_has_compatible_shallow_copy_type"}
# These take no scalar from the CPU beside tensors of a device; pointwise functions do.
NO_SCALARS = {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "gather", "index_select", "take",
              "take_along_dim", "searchsorted", "bucketize", "scatter", "scatter_add", "embedding", "linear"}


def place(device):
    "A device as a tensor on it names it."
    device = torch.device(device)
    return device if device.type == "cpu" or device.index is not None else torch.device(device.type, 0)


def home(x):
    "Where a tensor claims to lie."
    return x.__dict__.get("claimed", CPU)


def everything(tree):
    "The leaves of arguments or results."
    if isinstance(tree, dict): tree = tree.values()
    elif isinstance(tree, slice): tree = tree.start, tree.stop, tree.step
    elif not isinstance(tree, (tuple, list)) or isinstance(tree, torch.Size):
        yield tree
        return
    for branch in tree: yield from everything(branch)


def on_cpu(tree):
    "The same arguments with each device replaced by the CPU."
    if isinstance(tree, (torch.device, str)) and str(tree).split(":")[0] in ("cuda", "mps"): return CPU
    if type(tree) in (tuple, list): return type(tree)(map(on_cpu, tree))
    return {k: on_cpu(v) for k, v in tree.items()} if type(tree) is dict else tree


class Generator(torch.Generator):
    "A random stream that says on which device it draws."
    def __new__(cls, device="cpu"):
        g = super().__new__(cls, "cpu")
        g.claimed = place(device)
        return g

    def __init__(self, device="cpu"): pass

    @property
    def device(self): return self.claimed


class Pretend(TorchFunctionMode):
    "The mode, and what else says device in PyTorch; see above."
    def __init__(self):
        super().__init__()
        self.inside, self.waits, self.stack = False, [], ExitStack()

    def __enter__(self):
        make, group = Tensor._make_subclass, torch._C._group_tensors_by_device_and_dtype
        streams = Generator("cuda"), Generator("mps")
        def make_subclass(cls, data, *args, **kwargs):
            return self.claim(make(cls, data, *args, **kwargs), home(data))
        def grouped(lists, *args):
            found = {}
            for (_, dtype), group_ in group(lists, *args).items():
                places = {home(x) for x in everything(group_[0]) if isinstance(x, Tensor) and x.ndim} or {CPU}
                assert len(places) == 1, f"a list of tensors on {places}"
                found[places.pop(), dtype] = group_
            return found
        says = lambda kind: property(lambda x: (CPU if self.inside else home(x)).type == kind)
        for owner, name, value in (
                (Tensor, "device", property(lambda x: CPU if self.inside else home(x))),
                (Tensor, "is_cuda", says("cuda")), (Tensor, "is_mps", says("mps")), (Tensor, "is_cpu", says("cpu")),
                (Tensor, "_make_subclass", staticmethod(make_subclass)),
                (torch, "Generator", Generator), (torch._C, "_group_tensors_by_device_and_dtype", grouped),
                (torch.cuda, "init", lambda: None), (torch.cuda, "current_device", lambda: 0),
                (torch.cuda, "default_generators", streams[:1]),
                (torch.mps, "_get_default_mps_generator", lambda: streams[1])):
            self.stack.enter_context(patch.object(owner, name, value))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.stack.close()

    def claim(self, x, device):
        "Say where a result lies."
        if device.type == "mps" and x.dtype in (torch.float64, torch.complex128): raise TypeError(NO_FLOAT64)
        x.__dict__["claimed"] = device
        return x

    def wait(self, kind):
        "Note that a device is waited for, and the line that makes it so."
        frames = [f for f in traceback.extract_stack(sys._getframe(2)) if "dpm_nb" in f.filename]
        self.waits.append(f"{kind} at {frames[-1].filename.split('/')[-1]}:{frames[-1].lineno}" if frames else kind)

    def run(self, f, args, kwargs):
        "The function itself, on the CPU; while it runs, tensors say so."
        self.inside = True
        try: return f(*on_cpu(args), **on_cpu(kwargs))
        finally: self.inside = False

    def __torch_function__(self, f, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(f, "__name__", "")
        if name == "__get__":
            out = self.run(f, args, kwargs)
            return self.claim(out, home(args[0])) if isinstance(out, Tensor) else out
        if name == "__set__": return self.set(f, *args)
        if special := getattr(self, f"do_{name.strip('_')}", None): return special(f, name, args, kwargs)
        tensors = [x for x in everything((args, kwargs)) if isinstance(x, Tensor)]
        here = self.common(name, tensors, args)
        if kwargs.get("device") is not None: here = place(kwargs["device"])
        for g in everything((args, kwargs)):
            if isinstance(g, torch.Generator) and g.device.type != here.type:
                raise RuntimeError(f"Expected a '{here.type}' device type for generator but found '{g.device.type}'")
        if here.type == "mps" and name in NOT_ON_MPS:
            raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented for the MPS device.")
        reads = name in READS or name.startswith("linalg_") and name not in WAITS_NOT
        if here.type != "cpu" and (reads or name == "where" and len(args) == 1): self.wait(name)
        return self.placed(self.run(f, args, kwargs), here, tensors)

    def common(self, name, tensors, args):
        "The device of a function's tensors; raise where there are two."
        if name in ONLY_SHAPES: return home(tensors[0])
        changed = args[:1] if name.endswith("_") and not name.endswith("__") else ()
        fixed = [*everything(changed)] if name not in NO_SCALARS else tensors
        homes = {home(x): None for x in tensors if home(x) != CPU or x.ndim or any(x is y for y in fixed)}
        if len(homes) > 1:
            raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices, "
                               f"{' and '.join(map(str, homes))}! (in {name})")
        return next(iter(homes), CPU)

    def placed(self, out, device, given=()):
        "Results say that they lie on a device; what was changed in place stays where it is."
        for x in everything(out):
            if isinstance(x, Tensor) and not any(x is y for y in given): self.claim(x, device)
        return out

    def set(self, f, x, value):
        "`x.data = value` and its kind."
        self.run(f, (x, value), {})
        if f.__self__.__name__ == "data": x.__dict__["claimed"] = home(value)

    def do_to(self, f, name, args, kwargs):
        "Conversions: a copy where the device is another, as a device makes one."
        x, other = args[0], None
        for v in [*args[1:], *kwargs.values()]:
            if isinstance(v, (str, torch.device)): other = place(v)
            if isinstance(v, Tensor): other = home(v)
        return self.moved(x, home(x) if other is None else other, self.run(f, args, kwargs))

    def do_parse_to(self, f, name, args, kwargs): return f(*args, **kwargs)
    def do_device(self, f, name, args, kwargs): return f(*args, **kwargs)
    def do_cpu(self, f, name, args, kwargs): return self.moved(args[0], CPU, self.run(f, args, kwargs))
    def do_cuda(self, f, name, args, kwargs): return self.moved(args[0], place("cuda"), args[0])
    def do_type_as(self, f, name, args, kwargs): return self.moved(args[0], home(args[1]), self.run(f, args, kwargs))

    def moved(self, x, device, out):
        "What was `x`, on a device."
        if device != home(x):
            self.wait("read" if device == CPU else "sent")
            if out is x: out = out.clone()
        return self.claim(out, device)

    def do_copy(self, f, name, args, kwargs):
        "`x.copy_(y)`, from anywhere."
        if home(args[0]) != home(args[1]): self.wait("read" if home(args[0]) == CPU else "sent")
        return self.run(f, args, kwargs)

    def do_tensor(self, f, name, args, kwargs):
        "`torch.tensor` and its kind: numbers are read; one tensor stays where it is, if no device is named."
        data = args[0] if args else kwargs["data"]
        if isinstance(data, Tensor): here = home(data)
        else:
            here = CPU
            if any(isinstance(x, Tensor) and home(x) != CPU for x in everything(data)): self.wait(name)
        target = here if kwargs.get("device") is None else place(kwargs["device"])
        out = self.run(f, args, kwargs)
        if target != here: self.wait("read" if target == CPU else "sent")
        return self.claim(out.clone() if out is data and target != here else out, target)

    do_as_tensor = do_asarray = do_tensor

    def do_new_tensor(self, f, name, args, kwargs):
        "`x.new_tensor(numbers)`."
        here = place(kwargs["device"]) if kwargs.get("device") is not None else home(args[0])
        if here != CPU: self.wait("sent")
        return self.claim(self.run(f, args, kwargs), here)

    def do_numpy(self, f, name, args, kwargs):
        "An array shares the CPU's memory."
        if home(args[0]) != CPU:
            raise TypeError(f"can't convert {home(args[0])} device type tensor to numpy. "
                            "Use Tensor.cpu() to copy the tensor to host memory first.")
        return self.run(f, args, kwargs)

    do_array = do_numpy

    def do_reduce_ex(self, f, name, args, kwargs):
        "A file holds no claim."
        claimed = args[0].__dict__.pop("claimed", CPU)
        try: return self.run(f, args, kwargs)
        finally: args[0].__dict__["claimed"] = claimed

    def do_broadcast_tensors(self, f, name, args, kwargs):
        "Each of the results lies where it came from."
        given = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        return type(out := self.run(f, args, kwargs))(
            self.claim(new if new is not old else new.view_as(new), home(old)) for new, old in zip(out, given))

    def indices(self, x, index):
        "Raise unless an index fits the tensor; is it more than numbers and slices?"
        gathers = False
        for i in everything(index):
            if not isinstance(i, Tensor): continue
            if i.ndim or i.dtype in (torch.bool, torch.uint8):
                gathers = True
                if home(i) not in (CPU, home(x)):
                    raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor "
                                       f"({home(x)})")
                if home(i) != home(x): self.wait("sent")
                elif home(i) != CPU and i.dtype in (torch.bool, torch.uint8): self.wait("nonzero")
            elif home(i) != CPU: self.wait("item")
        return gathers

    def do_getitem(self, f, name, args, kwargs):
        "`x[index]`."
        self.indices(*args)
        return self.claim(self.run(f, args, kwargs), home(args[0]))

    def do_setitem(self, f, name, args, kwargs):
        "`x[index] = value`: one number may come from anywhere, and slices are copied into."
        x, index, value = args
        gathers = self.indices(x, index)
        if isinstance(value, Tensor) and home(value) != home(x):
            if gathers and value.ndim: self.common("index_put_", [x, value], args)
            self.wait("read" if home(x) == CPU else "sent")
        return self.run(f, args, kwargs)
