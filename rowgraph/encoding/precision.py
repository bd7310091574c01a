"""Which precision a device computes in."""

from __future__ import annotations

import warnings
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def usable_precision(wanted: Precision, device: str) -> Precision:
    """`bf16` only where it is wanted and native.

    A processor or GPU without native bfloat16 emulates it, slower than fp32; there a warning is
    given and fp32 is used. The summary of what was made says which.
    """
    if wanted == "fp32":
        return "fp32"
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        native = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if native:
        return "bf16"
    warnings.warn(f"device '{device}' has no native bfloat16; computing in fp32", stacklevel=2)
    return "fp32"
