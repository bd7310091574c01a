"""What lies between the matrix products of `rowgraph.encoding.inference`, as compiled loops.

Each loop goes over its numbers once, where a chain of PyTorch's operations would several times.
NumPy has no bfloat16: arrays hold its bits as uint16 (`bits`), arithmetic is in float32, and what
is written back is rounded to the nearest. The loops are compiled when they are first called, for
those who encode in bfloat16 only, and leave the interpreter to other threads.

Shapes: B texts, S tokens of each, N = B * S, D width, H heads, d = D / H, V tokens of the
vocabulary, P distinct pairs of token and position, R rows of scores.
"""

from __future__ import annotations

import numpy as np
import torch

from rowgraph.compiling import kernel

ANY_ORDER = {"reassoc", "contract", "nsz"}  # sums may be taken apart; NaN stays NaN
LOG2_E = np.float32(1.4426950408889634)
LEAST, MOST = np.float32(-126), np.float32(126)  # powers of two that float32 has in full
# 2**x on [0, 1) as 1 + ax + bx² + cx³, 2 at its end: the least greatest relative error, found by a
# linear program on 4,001 points. It is 1.03e-4, a fortieth of what rounding to bfloat16 may cost.
A, B, C = np.float32(0.69542417), np.float32(0.22630836), np.float32(0.07826747)


def bits(tensor: torch.Tensor) -> np.ndarray:
    """The memory of a bfloat16 tensor as uint16, not copied."""
    return tensor.view(torch.uint16).numpy()


@kernel(inline="always")
def _float(bits_of_one):
    """The number that bfloat16 bits stand for, in float32."""
    return np.uint32(np.uint32(bits_of_one) << np.uint32(16)).view(np.float32)


@kernel(inline="always")
def _bfloat16(number):
    """Bits of the nearest bfloat16; of two equally near ones, the one farther from zero."""
    return np.uint16((np.float32(number).view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16))


@kernel(nogil=True)
def distinct_pairs(ids_BS, num_tokens, token_P, position_P, pair_BS):
    """Number the distinct pairs of token and position; returns P, how many there are.

    Args:
        ids_BS: int64 tokens, below `num_tokens`.
        num_tokens: of the vocabulary.
        token_P, position_P: int64, room for as many as there are tokens; receive the pairs.
        pair_BS: int64, receives the number of each token's pair.
    """
    texts, length = ids_BS.shape
    last_V = np.full(num_tokens, -1, dtype=np.int64)  # the last pair of a token
    count = 0
    for s in range(length):
        for b in range(texts):
            token = ids_BS[b, s]
            pair = last_V[token]
            if pair < 0 or position_P[pair] != s:
                pair = count
                last_V[token], token_P[pair], position_P[pair] = pair, token, s
                count += 1
            pair_BS[b, s] = pair
    return count


@kernel(nogil=True, fastmath=ANY_ORDER)
def normalize(hidden_ND, weight_D, bias_D, eps, out_ND):
    """Layer normalization (Ba, Kiros and Hinton, 2016); weight, bias and eps are float32."""
    rows, width = hidden_ND.shape
    for n in range(rows):
        total = np.float32(0)
        for i in range(width):
            total += _float(hidden_ND[n, i])
        mean = total / np.float32(width)
        squares = np.float32(0)
        for i in range(width):
            off = _float(hidden_ND[n, i]) - mean
            squares += off * off
        scale = np.float32(1) / np.sqrt(squares / np.float32(width) + eps)
        for i in range(width):
            off = _float(hidden_ND[n, i]) - mean
            out_ND[n, i] = _bfloat16(off * scale * weight_D[i] + bias_D[i])


@kernel(nogil=True)
def deal(qkv_P3Hd, pair_BS, out_3BHSd):
    """Give each head its part of the query, key and value of each token's pair."""
    texts, length = pair_BS.shape
    _, three, heads, width = qkv_P3Hd.shape
    for b in range(texts):
        for s in range(length):
            pair = pair_BS[b, s]
            for which in range(three):
                for h in range(heads):
                    for i in range(width):
                        out_3BHSd[which, b, h, s, i] = qkv_P3Hd[pair, which, h, i]


@kernel(nogil=True, fastmath=ANY_ORDER)
def exponentiate(score_RS, total_R):
    """Replace each score by its exponential; `total_R` (float32) receives each row's total.

    Exponentials beyond `LEAST` and `MOST` powers of two are those, that of -inf among them.
    """
    flat = score_RS.reshape(-1)  # in one go: short rows would leave vector registers half empty
    for i in range(flat.size):
        power = min(max(_float(flat[i]) * LOG2_E, LEAST), MOST)
        whole = np.floor(power)
        x = power - whole
        scale = np.uint32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
        flat[i] = _bfloat16((np.float32(1) + x * (A + x * (B + x * C))) * scale)
    rows, length = score_RS.shape
    for r in range(rows):
        total = np.float32(0)
        for s in range(length):
            total += _float(score_RS[r, s])
        total_R[r] = total


@kernel(nogil=True, fastmath=ANY_ORDER)
def average(sum_BHSd, total_BHS, out_BSHd):
    """Divide what each head has added up by its total (float32), and lay heads side by side."""
    texts, heads, length, width = sum_BHSd.shape
    for b in range(texts):
        for h in range(heads):
            for s in range(length):
                share = np.float32(1) / total_BHS[b, h, s]
                for i in range(width):
                    out_BSHd[b, s, h, i] = _bfloat16(_float(sum_BHSd[b, h, s, i]) * share)
