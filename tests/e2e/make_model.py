#!/usr/bin/env python3
"""Writes a tiny language model (GGUF v3, llama architecture, F32; about 600 KB) whose greedy text is known.

usage: make_model.py OUT.gguf        also writes OUT.gguf.json: {"words": [...]}

The weights are random, but the output row of each word of a story is added to from the embedding of the word before it.
Each word therefore follows from the last token alone: after a line feed comes the first word, after the last one the end
of the turn, and an answer that is continued from any word goes on with the next. The layers do real work, too small to
change that. Python standard library only; the same file on every machine.
"""
import array
import json
import math
import random
import struct
import sys

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 128, 4096
STORY_WORDS = 200
SEED = 11
LAYER_NOISE = 0.02  # small beside the embeddings, whose length is 1
PULL = 4.0          # how much of a word's embedding its successor's output row gets
ALIGNMENT = 32

# GGUF: types of metadata values, and of tokens
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SPACE = "\u2581"


class Vocabulary:
    """SentencePiece pieces with byte fallback."""

    def __init__(self):
        self.pieces, self.kinds, self.scores, self.ids = [], [], [], {}

    def add(self, piece, kind, score=0.0):
        if piece not in self.ids:
            self.ids[piece] = len(self.pieces)
            self.pieces.append(piece)
            self.kinds.append(kind)
            self.scores.append(score)
        return self.ids[piece]

    def add_word(self, word):
        """Every prefix is a piece, so that the tokenizer can merge its way up to the word."""
        for length in range(1, len(word) + 1):
            token = self.add(SPACE + word[:length], NORMAL, float(length))
        return token


def story(rng):
    words = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in "nrslkmt"]
    rng.shuffle(words)
    return words[:STORY_WORDS]


def matrix(rng, rows, columns):
    return [[rng.gauss(0, LAYER_NOISE) for _ in range(columns)] for _ in range(rows)]


def unit_vector(rng):
    values = [rng.gauss(0, 1) for _ in range(WIDTH)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def make_tensors(rng, size, chain):
    embeddings = [unit_vector(rng) for _ in range(size)]
    output = [[0.0] * WIDTH for _ in range(size)]
    for before, after in zip(chain, chain[1:]):
        output[after] = [row + PULL * value for row, value in zip(output[after], embeddings[before])]
    ones = [[1.0] * WIDTH]
    tensors = [("token_embd.weight", embeddings), ("output.weight", output), ("output_norm.weight", ones)]
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        tensors += [(prefix + "attn_norm.weight", ones), (prefix + "ffn_norm.weight", ones)]
        tensors += [(f"{prefix}{name}.weight", matrix(rng, WIDTH, WIDTH))
                    for name in ("attn_q", "attn_k", "attn_v", "attn_output")]
        tensors += [(prefix + "ffn_gate.weight", matrix(rng, FEED_FORWARD, WIDTH)),
                    (prefix + "ffn_up.weight", matrix(rng, FEED_FORWARD, WIDTH)),
                    (prefix + "ffn_down.weight", matrix(rng, WIDTH, FEED_FORWARD))]
    return tensors


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], value)


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def array_pair(key, kind, values):
    return (text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + b"".join(scalar(kind, value) for value in values))


def metadata(vocabulary, begin, end):
    numbers = {"context_length": CONTEXT, "embedding_length": WIDTH, "block_count": LAYERS,
               "feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS, "attention.head_count_kv": HEADS,
               "rope.dimension_count": WIDTH // HEADS, "vocab_size": len(vocabulary.pieces)}
    pairs = [pair("general.architecture", STRING, "llama"), pair("general.name", STRING, "story"),
             pair("general.alignment", U32, ALIGNMENT), pair("general.file_type", U32, 0)]
    pairs += [pair("llama." + key, U32, value) for key, value in numbers.items()]
    pairs += [
        pair("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        pair("tokenizer.ggml.model", STRING, "llama"),
        pair("tokenizer.ggml.pre", STRING, "default"),
        array_pair("tokenizer.ggml.tokens", STRING, vocabulary.pieces),
        array_pair("tokenizer.ggml.scores", F32, vocabulary.scores),
        array_pair("tokenizer.ggml.token_type", I32, vocabulary.kinds),
        pair("tokenizer.ggml.bos_token_id", U32, begin),
        pair("tokenizer.ggml.eos_token_id", U32, end),
        pair("tokenizer.ggml.unknown_token_id", U32, 0),
        pair("tokenizer.ggml.add_bos_token", BOOL, True),
        pair("tokenizer.ggml.add_eos_token", BOOL, False),
        pair("tokenizer.ggml.add_space_prefix", BOOL, False),
    ]
    return pairs


def write(path, pairs, tensors):
    infos, data = b"", b""
    for name, rows in tensors:
        raw = array.array("f", [value for row in rows for value in row])
        if sys.byteorder == "big":
            raw.byteswap()
        shape = [len(rows[0])] + ([len(rows)] if len(rows) > 1 else [])
        infos += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        infos += struct.pack("<IQ", 0, len(data))
        data += raw.tobytes() + bytes(-(len(raw) * 4) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + infos
    with open(path, "wb") as out:
        out.write(head + bytes(-len(head) % ALIGNMENT) + data)


def main():
    path = sys.argv[1]
    rng = random.Random(SEED)
    vocabulary = Vocabulary()
    vocabulary.add("<unk>", UNKNOWN)
    begin = vocabulary.add("<s>", CONTROL)
    vocabulary.add("</s>", CONTROL)
    vocabulary.add("<|im_start|>", CONTROL)
    end = vocabulary.add("<|im_end|>", CONTROL)
    for byte in range(256):
        vocabulary.add(f"<0x{byte:02X}>", BYTE)
    words = story(rng)
    chain = [vocabulary.ids["<0x0A>"]] + [vocabulary.add_word(word) for word in words] + [end]
    write(path, metadata(vocabulary, begin, end), make_tensors(rng, len(vocabulary.pieces), chain))
    with open(path + ".json", "w", encoding="utf-8") as out:
        json.dump({"words": words}, out)


if __name__ == "__main__":
    main()
