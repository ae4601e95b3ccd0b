"""Pieces of the heap as the bytes that heap_table has."""


def packed(pieces, block):
    """Of sizes in bytes: their blocks in two bytes, and in one how many of them follow one another."""
    out = bytearray()
    for size in pieces:
        blocks = size // block
        if out and out[-3] << 8 | out[-2] == blocks and out[-1] < 255:
            out[-1] += 1
        else:
            out += bytes((blocks >> 8, blocks & 255, 1))
    return bytes(out)
