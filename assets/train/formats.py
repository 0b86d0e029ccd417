"""Reading and writing safetensors and GGUF files, and GGML's Q8_0 blocks. numpy alone.

safetensors: github.com/huggingface/safetensors; GGUF: github.com/ggml-org/ggml, docs/gguf.md.
"""

import json
import struct

import numpy as np

SAFETENSORS_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32,
                     "U8": np.uint8}


def bf16_to_f32(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def f32_to_bf16(values):
    """Bits, rounded to nearest even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def read_safetensors(path):
    """{name: array}; bfloat16 becomes float32."""
    raw = open(path, "rb").read()
    length, = struct.unpack_from("<Q", raw)
    tensors = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data = raw[8 + length + begin:8 + length + end]
        if entry["dtype"] == "BF16":
            array = bf16_to_f32(np.frombuffer(data, np.uint16))
        else:
            array = np.frombuffer(data, SAFETENSORS_TYPES[entry["dtype"]]).copy()
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors, bf16=False):
    """float32 arrays by name; with bf16 they are rounded to it."""
    header, at, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, array in sorted(tensors.items()):
        data = f32_to_bf16(array) if bf16 else np.ascontiguousarray(array, np.float32)
        header[name] = {"dtype": "BF16" if bf16 else "F32", "shape": list(array.shape),
                        "data_offsets": [at, at + data.nbytes]}
        at += data.nbytes
        blobs.append(data.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)


def quantize_q8_0(values):
    """Blocks of 32: a float16 scale (the largest magnitude / 127) and 32 int8. Returns the bytes [.., blocks, 34]."""
    blocks = np.ascontiguousarray(values, np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(1) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    scaled = blocks * inverse[:, None]
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)  # halves away from zero
    return np.concatenate([scale.astype(np.float16)[:, None].view(np.uint8), rounded.view(np.uint8)], 1)


def dequantize_q8_0(data, shape):
    data = np.frombuffer(data, np.uint8).reshape(-1, 34)
    scale = data[:, :2].copy().view(np.float16).astype(np.float32)
    return (scale * data[:, 2:].view(np.int8).astype(np.float32)).reshape(shape)


U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
GGML_F32, GGML_Q8_0 = 0, 8


def gguf_string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(key, value):
    head = gguf_string(key)
    if isinstance(value, bool):
        return head + struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return head + struct.pack("<II", U32, value)
    if isinstance(value, float):
        return head + struct.pack("<If", F32, value)
    if isinstance(value, (str, bytes)):
        return head + struct.pack("<I", STRING) + gguf_string(value)
    if isinstance(value, np.ndarray):
        kind = {"f": F32, "i": I32}[value.dtype.kind]
        return head + struct.pack("<IIQ", ARRAY, kind, len(value)) + value.astype({F32: "<f4", I32: "<i4"}[kind]).tobytes()
    return head + struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(gguf_string, value))


def write_gguf(path, metadata, tensors, alignment=32):
    """tensors: [(name, array)]; matrices are stored as Q8_0, vectors as float32."""
    infos, blobs, at = b"", [], 0
    for name, array in tensors:
        data = quantize_q8_0(array).tobytes() if array.ndim == 2 else np.ascontiguousarray(array, "<f4").tobytes()
        dims = array.shape[::-1]  # innermost first
        infos += gguf_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims,
                                                 GGML_Q8_0 if array.ndim == 2 else GGML_F32, at)
        data += bytes(-len(data) % alignment)
        blobs.append(data)
        at += len(data)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(gguf_value(key, value) for key, value in metadata.items()) + infos
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % alignment))
        file.writelines(blobs)
