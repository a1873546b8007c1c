"""A plain loop in place of the kernel that attends in all rows at once, for machines without one.

It reads its arguments as the documentation of `torch.nn.attention.varlen` tells.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention


def varlen_by_hand(
    q, k, v, ends, key_ends, longest, most_keys, *, scale, window_size, enable_gqa, num_splits
):
    """`varlen_attn` for float32 on CPU: windows count from the last token and the last key."""
    assert ends.dtype == key_ends.dtype == torch.int32
    assert num_splits == 1
    ends, key_ends = ends.tolist(), key_ends.tolist()
    before, after = (10**6 if size < 0 else size for size in window_size)
    rows = []
    for row in range(len(ends) - 1):
        one, keys = slice(*ends[row : row + 2]), slice(*key_ends[row : row + 2])
        if one.start == one.stop:
            continue
        num_tokens, num_keys = one.stop - one.start, keys.stop - keys.start
        assert num_tokens <= longest
        assert num_keys <= most_keys
        place = torch.arange(num_tokens).unsqueeze(1) + num_keys - num_tokens
        gap = torch.arange(num_keys) - place
        mask = (-before <= gap) & (gap <= after)
        states = (each.transpose(0, 1) for each in (q[one], k[keys], v[keys]))
        found = scaled_dot_product_attention(*states, mask, scale=scale, enable_gqa=enable_gqa)
        rows.append(found.transpose(0, 1))
    return torch.cat(rows)
