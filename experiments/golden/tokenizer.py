"""Writes tests/golden/tokenizer, the current directory, with the reference libraries.

    python3 -m venv v && v/bin/pip install tokenizers==0.23.3 tiktoken==0.14.0 unicodedata2==16.0.0 sentencepiece
    cd tests/golden/tokenizer && v/bin/python ../../../experiments/golden/tokenizer.py TEXT.txt rwkv_vocab_v20230424.txt WORLD.jsonl

NAME.json is a small tokenizer trained on TEXT.txt in the form of a known model, NAME.jsonl has lines of
{"text": ..., "ids": encode(text, add_special_tokens=False)}. The World vocabulary is cut to its single bytes and the
tokens that WORLD.jsonl (lines of {"base64", "ids"} by the reference implementation) contains, and those that
begin with one of them or that one of them begins with, which the longest match must choose among.
"""
import base64
import json
import os
import random
import sys
import unicodedata

import sentencepiece
import tiktoken
import unicodedata2 as u
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT, VOCAB, WORLD = sys.argv[1:4]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
          r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
rnd = random.Random(20230424)
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASSIGNED = [c for c in POINTS if u.category(chr(c)) not in ("Cn", "Co")]
MARKS = [c for c in ASSIGNED if u.category(chr(c))[0] == "M"]
DECOMPOSED = [c for c in ASSIGNED if u.decomposition(chr(c))]
SPACES = [c for c in range(0x3001) if chr(c).isspace()]
WORDS = ["the", " hello", "'s", "'S", "'re", "'LL", "'ve", "'\u017f", "don't", " I'm", "12345", "\r\n", "\n\n", "  ", "   ",
         "\t", " \n ", "<|end|>", "<|pad|>", "<|end", "foo_bar", "...", "!?\n\n", "\ufb01", "A\u030a", "e\u0301", "\uac00",
         "\u1100\u1161\u11a8", "\u65e5\u672c\u8a9e", "\u30c6\u30b9", "\uff0c\u3002", "\u092e\u0928\u0941", "\U0001f468\u200d\U0001f469",
         "\u00a0", "\u3000", "mask", "\u212b", "\u2460"]


def some_text():
    kind, out = rnd.random(), []
    for _ in range(rnd.randrange(1, 40)):
        r = rnd.random()
        if kind < 0.25:
            pick = chr(rnd.choice(POINTS if r < 0.3 else ASSIGNED))
        elif kind < 0.6:
            pick = rnd.choice(WORDS) if r < 0.7 else chr(rnd.choice(ASSIGNED)) if r < 0.8 else chr(rnd.randrange(32, 127))
        elif kind < 0.8:
            table = MARKS if r < 0.4 else DECOMPOSED if r < 0.7 else SPACES if r < 0.8 else range(32, 0x250)
            pick = chr(rnd.choice(table))
        else:
            pick = chr(rnd.choice(SPACES)) if r < 0.3 else rnd.choice("abcXYZ019'\"-_.,;/\r\n \t")
        out.append(pick)
    return "".join(out)


def write_lines(name, encode, n=100):
    texts = ["", "a", " ", "\n", "  a", " \n b"] + WORDS + [some_text() for _ in range(n)]
    if name == "o200k":  # goes to PCRE2, which in Debian 12 knows Unicode 14.0, as does Python 3.11
        new = [c for c in ASSIGNED if unicodedata.category(chr(c)) == "Cn"]
        texts = [t for t in texts if not set(t) & set(map(chr, new))]
    with open(f"{name}.jsonl", "w") as out:
        for text in texts:
            out.write(json.dumps({"text": text, "ids": encode(text)}) + "\n")


def hugging_face(name, pre_tokenizer, normalizer, added, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|end|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([open(TEXT).read()[:60000], *(WORDS * 30)], trainer)
    tokenizer.add_tokens(added)
    text = json.loads(tokenizer.to_str())
    if name == "neox":  # the older spelling of merges
        text["model"]["merges"] = [" ".join(m) for m in text["model"]["merges"]]
    with open(f"{name}.json", "w") as out:
        json.dump(text, out)
    again = Tokenizer.from_file(f"{name}.json")
    write_lines(name, lambda s: again.encode(s, add_special_tokens=False).ids)


def trained():
    """What our trainer must find as well."""
    text = open(TEXT).read()[:12000] + "".join(WORDS * 3)
    open("trained_on.txt", "w", newline="").write(text)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    text = json.loads(tokenizer.to_str())
    text["model"]["merges"] = [" ".join(m) for m in text["model"]["merges"]]
    with open("trained.json", "w") as out:
        json.dump(text, out)


def sentence_piece():
    sentencepiece.SentencePieceTrainer.train(input=TEXT, model_prefix="sentencepiece", vocab_size=400, byte_fallback=True,
                                             normalization_rule_name="identity", input_sentence_size=2000,
                                             model_type="bpe", minloglevel=2)
    os.remove("sentencepiece.vocab")
    write_lines("sentencepiece", sentencepiece.SentencePieceProcessor(model_file="sentencepiece.model").encode, n=40)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def tiktoken_ranks(name, pattern):
    """Ranks from the merges of the Llama 3 golden."""
    model = json.load(open("llama3.json"))["model"]
    byte_of = {c: b for b, c in enumerate(sorted_alphabet())}
    tokens = [bytes([b]) for b in range(256)]
    tokens += [bytes(byte_of[c] for c in a + b) for a, b in model["merges"]]
    tokens = list(dict.fromkeys(tokens))
    with open(f"{name}.tiktoken", "w") as out:
        for rank, token in enumerate(tokens):
            out.write(f"{base64.b64encode(token).decode()} {rank}\n")
    encoding = tiktoken.Encoding(name, pat_str=pattern, special_tokens={},
                                 mergeable_ranks={t: i for i, t in enumerate(tokens)})
    write_lines(name, encoding.encode_ordinary, n=80)


def sorted_alphabet():
    """The character of each byte, by byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(rest)) for b in range(256)]


def world():
    lines = open(VOCAB, encoding="utf-8").read().split("\n")[:-1]
    token = {}
    for line in lines:
        value = eval(line[line.index(" ") : line.rindex(" ")])
        token[int(line.split(" ")[0])] = value.encode() if isinstance(value, str) else value
    goldens = open(WORLD).read()
    used = {i for line in goldens.splitlines() for i in json.loads(line)["ids"]}
    texts = {token[i] for i in used}
    prefixes = {t[:n] for t in texts for n in range(2, len(t) + 1)}
    longer = [t for t in texts if len(t) >= 4]

    def keep(i):
        t = token[i]
        return i <= 256 or t in prefixes or any(t.startswith(p) for p in longer)

    with open("rwkv_vocab_cut.txt", "w", encoding="utf-8") as out:
        out.write("".join(line + "\n" for line in lines if keep(int(line.split(" ")[0]))))
    open("rwkv_world.jsonl", "w").write(goldens)


byte_level = pre_tokenizers.ByteLevel
hugging_face("gpt2", byte_level(add_prefix_space=True), None, [AddedToken("mask", single_word=True),
             AddedToken("<|pad|>", lstrip=True, rstrip=True, normalized=False)])
hugging_face("neox", byte_level(add_prefix_space=False), normalizers.NFC(),
             [AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)] + [AddedToken("e\u0301<", normalized=True)])
hugging_face("llama3", split(LLAMA3), None, [AddedToken("<|pad|>", special=True), "<|end|>x"], ignore_merges=True)
hugging_face("qwen2", split(LLAMA3.replace("{1,3}", "")), normalizers.NFC(), [AddedToken("<|pad|>", rstrip=True)])
hugging_face("o200k", split(O200K), None, [])
trained()
tiktoken_ranks("cl100k_base", CL100K)
world()
sentence_piece()
